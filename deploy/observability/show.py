"""`python -m deploy.observability.show [DASHBOARD…]`: the figures of dashboards as text, where there is no Grafana."""

import argparse
import asyncio
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import httpx2

from deploy.observability.answers import ASK_TIMEOUT_S, Prometheus, PrometheusError, resolved
from deploy.observability.dashboards import DASHBOARDS
from deploy.observability.dashboards.model import Dashboard
from deploy.observability.lint import Json, panels
from deploy.observability.promql import with_variables
from devstack.observability import PROMETHEUS
from devstack.settings import Settings
from devstack.stack import Stack

LINES = 8  # of a panel: the largest values
_LABEL = re.compile(r"{{\s*(\w+)\s*}}")
_FORMATS: Mapping[str, Callable[[float], str]] = {
    "s": lambda value: f"{value * 1000:.1f} ms" if abs(value) < 1 else f"{value:,.1f} s",
    "percentunit": lambda value: f"{value:.2%}",
    "bytes": lambda value: f"{value / 1e6:,.0f} MB",
    "ops": lambda value: f"{value:,.2f}/s",
    "reqps": lambda value: f"{value:,.2f}/s",
}


async def show(prometheus: Prometheus, dashboard: Dashboard) -> list[str]:
    """Return a line for each panel but heatmaps, and below it one for each series: its name and its value now.

    Raises:
        PrometheusError: it does not answer.
    """
    page = dashboard.as_json("")
    values = await resolved(page, prometheus.label_values)
    lines = [f"# {dashboard.title}"]
    for panel in panels(page):
        if panel["type"] == "heatmap":
            continue
        lines += [panel["title"], *await _series(prometheus, panel, values)]
    return lines


async def _series(prometheus: Prometheus, panel: Json, values: Mapping[str, str]) -> list[str]:
    found = list[tuple[float, str]]()
    for target in panel["targets"]:
        for labels, value in await prometheus.now(with_variables(target["expr"], values), time.time()):
            found.append((value, _LABEL.sub(partial(_value_of, labels), target["legendFormat"])))
    unit = _FORMATS.get(panel["fieldConfig"]["defaults"]["unit"], "{:,.6g}".format)
    shown = sorted((one for one in found if not math.isnan(one[0])), reverse=True)
    lines = [f"    {name}: {unit(value)}" for value, name in shown[:LINES]]
    return lines + ([f"    … and {len(shown) - LINES} more"] if len(shown) > LINES else []) or ["    no data"]


def _value_of(labels: Mapping[str, str], found: re.Match[str]) -> str:
    return labels.get(found[1], "")


async def _print(address: str, wanted: Sequence[str]) -> None:
    async with httpx2.AsyncClient(base_url=address, timeout=ASK_TIMEOUT_S) as http:
        for dashboard in DASHBOARDS:
            if dashboard.name in wanted:
                print("\n".join(await show(Prometheus(http), dashboard)), end="\n\n")


def wanted(arguments: Sequence[str] | None = None) -> list[str]:
    """The names of the dashboards that the command line asks for. Exits if one is unknown."""
    names = [one.name for one in DASHBOARDS]
    parser = argparse.ArgumentParser(
        prog="python -m deploy.observability.show", epilog=f"there are: {', '.join(names)}"
    )
    # argparse refuses a default list that `choices` does not contain as a whole.
    parser.add_argument("dashboards", nargs="*", default=["overview"], metavar="DASHBOARD")
    given: list[str] = parser.parse_args(arguments).dashboards
    if unknown := set(given) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    return given


def main() -> int:
    """Exit with 1 and one message if Prometheus does not answer."""
    dashboards = wanted()
    port = Stack(Settings.load(), threading.Event()).observability.port(PROMETHEUS)
    try:
        asyncio.run(_print(f"http://127.0.0.1:{port}", dashboards))
    except PrometheusError as error:
        print(f"dashboards: {error}. Does it run? make up OBS=1", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
