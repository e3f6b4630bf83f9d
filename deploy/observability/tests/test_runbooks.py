"""Each alert has a runbook that names things that exist."""

import re
from pathlib import Path

import pytest

from deploy.observability.recorded import RECORDS
from deploy.observability.rules import RULES, RUNBOOKS, runbook, runbook_url
from libs.telemetry.catalog import METRICS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / RUNBOOKS
KEPT = {"dead-letters.md", "events-waiting.md", "upgrade.md"}  # of no alert: those of alerts lead to them
HEADINGS = ["What it means", "What to look at", "What to do", "How to know that it worked"]
NAMES = sorted({rule.name for rule in RULES})
METRIC = re.compile(r"\bfeedmill_[a-z_]+")
MAKE = re.compile(r"`make ([a-z-]+)")


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_has_its_four_parts(name: str) -> None:
    text = (FOLDER / runbook(name)).read_text()
    assert text.startswith(f"# {name}\n")
    title, *parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts[::2] == HEADINGS, title
    assert all(part.strip() for part in parts)


def test_every_runbook_belongs_to_an_alert() -> None:
    assert {file.name for file in FOLDER.glob("*.md")} == {*map(runbook, NAMES), *KEPT}


def test_runbooks_name_metrics_targets_and_pages_that_exist() -> None:
    names = {f"{one.name}{suffix}" for one in METRICS for suffix in ("", "_bucket", "_count", "_sum")}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for file in FOLDER.glob("*.md"):
        text = file.read_text()
        assert {one for one in METRIC.findall(text) if not one.endswith("_")} <= names, file.name
        assert set(MAKE.findall(text)) <= targets, file.name
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert (FOLDER / link).resolve().exists(), f"{file.name}: {link}"


def test_names_in_kebab_case_are_unique() -> None:
    assert len({runbook(name) for name in NAMES}) == len(NAMES)
    assert runbook("FeedP99Slow") == "feed-p99-slow.md"


def test_the_base_of_runbooks_is_configurable() -> None:
    assert runbook_url("HotKey", {}) == "docs/runbooks/hot-key.md"
    url = runbook_url("HotKey", {"FEEDMILL_RUNBOOKS_URL": "https://wiki.example/runbooks/"})
    assert url == "https://wiki.example/runbooks/hot-key.md"


def test_recorded_names_are_no_metrics_of_the_catalog() -> None:
    assert all(":" in record.name for record in RECORDS)
