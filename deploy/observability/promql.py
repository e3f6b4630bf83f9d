"""Parses PromQL, and finds what an expression reads and which unit its value has."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser as parser
from promql_parser import Expr

from libs.telemetry.catalog import BY_NAME, Kind

# What Grafana puts in place of its own variables before it asks; here any valid time will do.
BUILT_IN: Mapping[str, str] = {"__rate_interval": "1m", "__interval": "15s", "__range": "1h"}
OF_CLIENT: Mapping[str, tuple[Kind, tuple[str, ...]]] = {
    "process_cpu_seconds_total": ("counter", ()),
    "process_max_fds": ("gauge", ()),
    "process_open_fds": ("gauge", ()),
    "process_resident_memory_bytes": ("gauge", ()),
    "process_start_time_seconds": ("gauge", ()),
    "process_virtual_memory_bytes": ("gauge", ()),
    "python_gc_collections_total": ("counter", ("generation",)),
    "python_gc_objects_collected_total": ("counter", ("generation",)),
    "python_gc_objects_uncollectable_total": ("counter", ("generation",)),
    "python_info": ("gauge", ("implementation", "major", "minor", "patchlevel", "version")),
}
"""Metrics that prometheus-client exports in each process."""
OF_PROMETHEUS: Mapping[str, tuple[Kind, tuple[str, ...]]] = {
    "up": ("gauge", ()),
    "ALERTS": ("gauge", ("alertname", "alertstate", "severity")),
}
TARGET_LABELS = ("job", "instance")
"""Labels that Prometheus adds to all that it scrapes."""
GROWTH = ("rate", "irate", "increase")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})")
_PART = re.compile(r"_(bucket|sum|count)$")


@dataclass(frozen=True, slots=True)
class Series:
    """What is known about a name of a series.

    Args:
        metric: the declared name, without the `_bucket` of a histogram.
        labels: label → its values, which are empty if they are not declared.
        jobs: the deployables that export it; `*` stands for all.
    """

    metric: str
    kind: Kind
    labels: Mapping[str, tuple[str, ...]]
    jobs: tuple[str, ...]


def known(name: str) -> Series | None:
    """What is declared about a series; None if nothing is."""
    if found := OF_CLIENT.get(name) or OF_PROMETHEUS.get(name):
        kind, labels = found
        return Series(name, kind, dict.fromkeys((*TARGET_LABELS, *labels), ()), ("*",))
    base = _PART.sub("", name)
    metric = BY_NAME.get(name) or BY_NAME.get(base)
    if metric is None or (metric.kind == "histogram") == (name == metric.name):
        return None  # of a histogram only its parts are series, and other metrics have no parts
    labels_of = dict(metric.labels) | dict.fromkeys(TARGET_LABELS, ())
    if name.endswith("_bucket"):
        labels_of["le"] = (*(f"{float(bound)}" for bound in metric.buckets), "+Inf")
    return Series(metric.name, metric.kind, labels_of, metric.jobs)


def with_variables(expression: str, values: Mapping[str, str]) -> str:
    """Put values in place of `$name` and `${name}`.

    Raises:
        KeyError: a variable has no value.
    """
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], expression)


def parse(expression: str, variables: Mapping[str, str]) -> Expr:
    """Return the tree of an expression with Grafana's variables.

    Raises:
        KeyError: a variable is not defined.
        ValueError: it is no PromQL.
    """
    return parser.parse(with_variables(expression, {**BUILT_IN, **variables}))


def nodes(tree: Any, parents: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """All nodes of a tree, each with those above it, the nearest last."""
    yield tree, parents
    for child in _children(tree):
        yield from nodes(child, (*parents, tree))


def selectors(tree: Any) -> Iterator[tuple[parser.VectorSelector, tuple[Any, ...]]]:
    """All selectors of series, each with the nodes above it."""
    for node, parents in nodes(tree):
        if isinstance(node, parser.VectorSelector):
            yield node, parents


def function_around(parents: tuple[Any, ...]) -> str:
    """The function whose argument is `series[window]`; empty if a selector has no window."""
    if len(parents) < 2 or not isinstance(parents[-1], parser.MatrixSelector):
        return ""
    return str(parents[-2].func.name) if isinstance(parents[-2], parser.Call) else ""


def _children(node: Any) -> list[Any]:
    match node:
        case parser.BinaryExpr():
            return [node.lhs, node.rhs]
        case parser.Call():
            return list(node.args)
        case parser.MatrixSelector():
            return [node.vector_selector]
        case parser.AggregateExpr() | parser.ParenExpr() | parser.UnaryExpr() | parser.SubqueryExpr():
            return [node.expr]
        case _:
            return []


NUMBER, COUNT, RATIO, SECONDS, BYTES, TIME = "number", "count", "ratio", "seconds", "bytes", "time"
PER_SECOND, BYTES_PER_SECOND = "count per second", "bytes per second"
# Seconds per second is the share of a time, such as that of one core.
_GROWING: Mapping[str, str] = {COUNT: PER_SECOND, BYTES: BYTES_PER_SECOND, SECONDS: RATIO}


def unit(tree: Any) -> str:
    """The unit of the value of an expression: one of the constants above; empty if it has none that makes sense."""
    match tree:
        case parser.NumberLiteral():
            return NUMBER
        case parser.VectorSelector():
            return _unit_of_name(tree.name or "")
        case parser.MatrixSelector():
            return unit(tree.vector_selector)
        case parser.ParenExpr() | parser.UnaryExpr() | parser.SubqueryExpr():
            return unit(tree.expr)
        case parser.AggregateExpr():
            return COUNT if str(tree.op).lower() in ("count", "group") else unit(tree.expr)
        case parser.Call():
            return _unit_of_call(tree)
        case parser.BinaryExpr():
            return _unit_of_operation(str(tree.op), unit(tree.lhs), unit(tree.rhs))
        case _:
            return ""


def _unit_of_name(name: str) -> str:
    if name.endswith(("_count", "_bucket")) and known(name):
        return COUNT
    base = _PART.sub("", name).removesuffix("_total")
    for suffix, found in (
        ("_time_seconds", TIME),
        ("_seconds", SECONDS),
        ("_bytes", BYTES),
        ("_operations", PER_SECOND),
    ):
        if base.endswith(suffix):
            return found
    return COUNT


def _unit_of_call(call: Any) -> str:
    name, inner = call.func.name, [unit(argument) for argument in call.args]
    if name == "time":
        return TIME
    if name == "histogram_quantile":
        # the unit of the bounds, not that of the numbers in the buckets
        found = {
            _unit_of_name((selector.name or "").removesuffix("_bucket")) for selector, _ in selectors(call.args[1])
        }
        return found.pop() if len(found) == 1 else ""
    if name in ("rate", "irate"):
        return _GROWING.get(inner[0], "")
    return inner[-1] if inner else ""


def _unit_of_operation(operator: str, left: str, right: str) -> str:
    if NUMBER in (left, right):
        return right if left == NUMBER else left
    match operator:
        case "/" if left == right:
            return RATIO
        case "-" if left == right == TIME:
            return SECONDS
        case "+" | "-" | "or" if left == right:
            return left
        case _:
            return ""
