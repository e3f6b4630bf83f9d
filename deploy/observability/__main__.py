"""`python -m deploy.observability`: write the configuration, and docs/alerts.md.

render --out DIR [--factor N] [--targets compose]
write | check
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.observability import alertmanager, grafana, prometheus, rules
from deploy.observability.page import PAGE, page
from deploy.observability.timing import Timing

MODULES = (prometheus, rules, alertmanager, grafana)
"""Each has `files(timing, environ)`: path below the output folder → text."""


def rendered(timing: Timing, environ: Mapping[str, str]) -> dict[str, str]:
    """All files, path below the output folder → text."""
    return {path: text for module in MODULES for path, text in module.files(timing, environ).items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.observability")
    commands = parser.add_subparsers(dest="command", required=True)
    render = commands.add_parser("render", help="write the configuration of Prometheus, Alertmanager and Grafana")
    render.add_argument("--out", type=Path, required=True)
    render.add_argument("--factor", type=float, default=1, help="divides all times, for drills")
    render.add_argument("--targets", choices=["compose"], help="write the addresses of docker-compose.yml, too")
    commands.add_parser("write", help="write docs/alerts.md")
    commands.add_parser("check", help="exit with 1 if docs/alerts.md is out of date")
    given = parser.parse_args()
    if given.command == "render":
        _render(given)
    elif given.command == "write":
        PAGE.write_text(page())
    elif not PAGE.is_file() or PAGE.read_text() != page():
        sys.exit(f"out of date, run `make contracts`: {PAGE.name}")


def _render(given: argparse.Namespace) -> None:
    prometheus.write(given.out, rendered(Timing(given.factor), os.environ))
    if without := alertmanager.missing(os.environ):
        print(f"nobody is notified: no URL in {', '.join(without)}", file=sys.stderr)
    if given.targets:
        prometheus.write(given.out, prometheus.targets({job: f"{job}:8000" for job in prometheus.JOBS}))
        prometheus.write(given.out, prometheus.alertmanagers("alertmanager:9093"))


if __name__ == "__main__":
    main()
