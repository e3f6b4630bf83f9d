"""The configuration of Prometheus, and its targets.

JSON is YAML, so the files are JSON: the image of the deployables has no library that writes YAML.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.observability.timing import Timing
from libs.deployables import DEPLOYABLES

TARGETS = "prometheus/targets.json"
ALERTMANAGERS = "prometheus/alertmanagers.json"
JOBS = tuple(one.name for one in DEPLOYABLES)
"""Each process that Prometheus scrapes, by the label `job`."""


def files(timing: Timing, _: Mapping[str, str]) -> dict[str, str]:
    """The files of Prometheus, path → text. What starts the system adds those of `targets` and `alertmanagers`."""
    configuration = {
        "global": {
            "scrape_interval": timing.scrape,
            "scrape_timeout": timing.scrape_timeout,
            "evaluation_interval": timing.scrape,
        },
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"file_sd_configs": [{"files": ["alertmanagers.json"]}]}]},
        "scrape_configs": [{"job_name": "feedmill", "file_sd_configs": [{"files": ["targets.json"]}]}],
    }
    return {"prometheus/prometheus.yml": written(configuration)}


def targets(addresses: Mapping[str, str]) -> dict[str, str]:
    """The file of targets, path → text. `addresses` is name of the deployable → `host:port`."""
    return {TARGETS: written([{"targets": [at], "labels": {"job": job}} for job, at in addresses.items()])}


def alertmanagers(address: str) -> dict[str, str]:
    """The file that says where Alertmanager listens, path → text."""
    return {ALERTMANAGERS: written([{"targets": [address]}])}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder, each at once: Prometheus may read them at any time."""
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.new")
        draft.write_text(text)
        draft.replace(file)


def written(configuration: Any) -> str:
    """Return a configuration as the text of a file."""
    return json.dumps(configuration, indent=2, ensure_ascii=False) + "\n"
