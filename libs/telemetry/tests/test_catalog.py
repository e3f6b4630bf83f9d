"""The catalog of metrics, and the code that creates them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import REGISTRY

from libs.deployables import DEPLOYABLES
from libs.telemetry import metrics
from libs.telemetry.__main__ import PAGE, page
from libs.telemetry.catalog import ANY, BY_NAME, EVERY, METRICS, Metric
from libs.telemetry.metrics import counter, gauge, histogram

ROOT = Path(__file__).parents[3]
TREES = ("libs", "services", "workers", "ops", "gateway")
KINDS = ("counter", "gauge", "histogram")
WITHOUT_UNIT = {"feedmill_fanout_followers"}  # it observes a number of followers


class Created(NamedTuple):
    path: Path
    kind: str
    name: str


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for tree in TREES:
        for path in sorted((ROOT / tree).rglob("*.py")):
            if "tests" not in path.parts:
                yield path.relative_to(ROOT), ast.parse(path.read_text())


def created() -> Iterator[Created]:
    """Every call of `counter`, `gauge` and `histogram`."""
    for path, module in sources():
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: the name is no constant"
                yield Created(path, node.func.id, str(name.value))


def deployable_of(path: Path) -> str | None:
    """The deployable whose package has this module; None for a library."""
    for one in DEPLOYABLES:
        module = Path(*one.module.split("."))
        if path.is_relative_to(module if (ROOT / module).is_dir() else module.parent):
            return one.name
    return None


def test_each_metric_is_created_once_as_it_is_declared() -> None:
    found = list(created())
    names = [one.name for one in found]
    assert len(names) == len(set(names))
    for one in found:
        declared = BY_NAME[one.name]
        assert declared.kind == one.kind, one
        if (deployable := deployable_of(one.path)) is not None:
            assert declared.jobs == (deployable,), one


def test_shared_code_exports_its_metrics_everywhere() -> None:
    for one in created():
        if one.path.parts[:2] in (("libs", "common"), ("libs", "telemetry")):
            assert BY_NAME[one.name].jobs == EVERY, one


def test_names_say_the_unit() -> None:
    assert len(BY_NAME) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"feedmill(_[a-z0-9]+){2,}", metric.name), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert not metric.name.endswith(("_ms", "_milliseconds", "_time", "_count", "_sum", "_bucket", "_s")), (
            metric.name
        )
        if metric.kind == "histogram":
            assert metric.name.endswith("_seconds") != (metric.name in WITHOUT_UNIT), metric.name


def test_declarations_are_complete() -> None:
    for metric in METRICS:
        assert metric.text.endswith("."), metric.name
        assert metric.jobs, metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name
        assert not metric.labels.keys() & {"job", "instance", "le", "quantile"}, metric.name


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Declares two counters that nobody else creates, and forgets them after the test."""
    known = Metric(name="feedmill_tests_known_total", kind="counter", text="T.", labels={"a": ("x", "y"), "b": ("z",)})
    partly = Metric(name="feedmill_tests_partly_total", kind="counter", text="T.", labels={"a": ("x",), "b": ANY})
    monkeypatch.setattr(metrics, "BY_NAME", {one.name: one for one in (known, partly)})
    both = [counter(known.name), counter(partly.name)]
    yield
    for one in both:
        REGISTRY.unregister(one)


@pytest.mark.usefixtures("declared")
def test_known_labels_are_exported_from_the_start() -> None:
    for a in ("x", "y"):
        assert REGISTRY.get_sample_value("feedmill_tests_known_total", {"a": a, "b": "z"}) == 0
    exported = [sample for family in REGISTRY.collect() for sample in family.samples]
    assert not [sample for sample in exported if sample.name == "feedmill_tests_partly_total"]


def test_only_declared_metrics_can_be_created() -> None:
    with pytest.raises(KeyError):
        gauge("feedmill_tests_undeclared")
    with pytest.raises(ValueError, match="is declared as a gauge"):
        counter("feedmill_pool_size")
    with pytest.raises(ValueError, match="is declared as a counter"):
        histogram("feedmill_cache_reads_total")


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page()
    for metric in METRICS:
        assert f"| `{metric.name}` |" in page()
