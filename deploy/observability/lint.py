"""Rules for dashboards. The first table has those of Grafana's public dashboard linter, the second has our own.

A rule gets the JSON of a dashboard and yields what is wrong. The linter's two rules about LogQL do not apply, because
no panel reads logs.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import promql_parser as parser

from deploy.observability import promql
from deploy.observability.prometheus import JOBS

Json = dict[str, Any]
Finding = Iterator[str]
Rule = Callable[[Json], Finding]

ROOT = Path(__file__).parents[2]
UNITS: Mapping[str, tuple[str, ...]] = {
    promql.COUNT: ("short", "none"),
    promql.RATIO: ("percentunit", "short"),
    promql.SECONDS: ("s",),
    promql.BYTES: ("bytes", "decbytes"),
    promql.PER_SECOND: ("ops", "reqps", "cps", "wps", "rps", "iops"),
    promql.BYTES_PER_SECOND: ("Bps", "binBps"),
}
"""Unit of an expression → the ids of Grafana that show it."""
KINDS = ("timeseries", "stat", "table", "heatmap", "gauge", "bargauge", "state-timeline", "barchart", "row", "text")
"""Kinds of panels that Grafana 11 and 12 draw without a plugin and without AngularJS."""
SENTENCE_WORDS = 5
ALLOWED_ALL = ".+"
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<series>.+),\s*)?(?P<label>\w+)\)")
_LEGEND_LABEL = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def lint(dashboard: Json) -> list[str]:
    """Return what is wrong with a dashboard, each with the name of its rule."""
    rules = {**PUBLIC_RULES, **OWN_RULES}
    return [f"{dashboard['uid']}: {name}: {found}" for name, rule in rules.items() for found in rule(dashboard)]


def panels(dashboard: Json) -> list[Json]:
    """The panels that show something, also those inside of a collapsed row."""
    below = [inner for panel in dashboard["panels"] for inner in panel.get("panels", [])]
    return [panel for panel in (*dashboard["panels"], *below) if panel["type"] != "row"]


def targets(dashboard: Json) -> Iterator[tuple[Json, Json]]:
    """Each target with its panel."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield panel, target


def variables(dashboard: Json) -> list[Json]:
    """The template variables, in the order of the page."""
    found: list[Json] = dashboard["templating"]["list"]
    return found


def _trees(dashboard: Json) -> Iterator[tuple[str, Json, Any]]:
    """Place, panel and tree of each expression that is valid. For the others there is a rule."""
    values = {one["name"]: "x" for one in variables(dashboard)}
    for panel, target in targets(dashboard):
        try:
            tree = promql.parse(target["expr"], values)
        except (KeyError, ValueError):
            continue
        yield f"{panel['title']}, {target['refId']}", panel, tree


def _datasource(dashboard: Json) -> Finding:
    found = [one for one in variables(dashboard) if one["type"] == "datasource"]
    if not found:
        yield "no variable chooses the data source"
    for one in found:
        if (one["name"], one["label"], one["query"]) != ("datasource", "Data source", "prometheus"):
            yield f"the variable of the data source is {one['name']}, {one['label']}, {one['query']}"


def _template(name: str, label: str) -> Rule:
    def rule(dashboard: Json) -> Finding:
        found = [one for one in variables(dashboard) if one["name"] == name]
        if not found:
            yield f"there is no variable {name}"
        for one in found:
            wrong = [
                what
                for what, is_right in (
                    ("type", one["type"] == "query"),
                    ("label", one["label"] == label),
                    ("data source", one.get("datasource", {}).get("uid") == "${datasource}"),
                    ("multi", one["multi"]),
                    ("allValue", one["allValue"] == ALLOWED_ALL),
                )
                if not is_right
            ]
            if wrong:
                yield f"the variable {name} has a wrong {', '.join(wrong)}"

    return rule


def _label_queries(dashboard: Json) -> Finding:
    values = {one["name"]: "x" for one in variables(dashboard)}
    for one in variables(dashboard):
        if one["type"] != "query":
            continue
        found = _LABEL_VALUES.fullmatch(one["query"]["query"])
        if not found or not found["series"]:
            yield f"{one['name']}: {one['query']['query']} is not label_values(series, label)"
            continue
        try:
            tree = promql.parse(found["series"], values)
        except (KeyError, ValueError) as error:
            yield f"{one['name']}: {error}"
            continue
        for selector, _ in promql.selectors(tree):
            series = promql.known(selector.name or "")
            if series is None or found["label"] not in series.labels:
                yield f"{one['name']}: {selector.name} has no label {found['label']}"


def _reload(dashboard: Json) -> Finding:
    for one in variables(dashboard):
        if one["type"] == "query" and one["refresh"] != 2:
            yield f"the variable {one['name']} does not change with the time range"


def _panel_datasource(dashboard: Json) -> Finding:
    for panel in panels(dashboard):
        if any(one.get("datasource", {}).get("uid") != "${datasource}" for one in (panel, *panel["targets"])):
            yield f"{panel['title']} does not use the chosen data source"


def _title_and_description(dashboard: Json) -> Finding:
    for panel in panels(dashboard):
        if not panel.get("title") or not panel.get("description"):
            yield f"panel {panel['id']} has no title or no description"


def _panel_units(dashboard: Json) -> Finding:
    known = {unit for units in UNITS.values() for unit in units}
    for panel in panels(dashboard):
        if panel["fieldConfig"]["defaults"].get("unit") not in known:
            yield f"{panel['title']} has no unit, or one that is not known"


def _no_targets(dashboard: Json) -> Finding:
    for panel in panels(dashboard):
        if not any(target.get("expr") for target in panel["targets"]):
            yield f"{panel['title']} has no expression"


def _valid_promql(dashboard: Json) -> Finding:
    values = {one["name"]: "x" for one in variables(dashboard)}
    for panel, target in targets(dashboard):
        try:
            promql.parse(target["expr"], values)
        except KeyError as error:
            yield f"{panel['title']}: there is no variable {error}"
        except ValueError as error:
            yield f"{panel['title']}: {error}"


def _rate_interval(dashboard: Json) -> Finding:
    for panel, target in targets(dashboard):
        windows = re.findall(r"\bi?rate\([^\[\]]*\[([^\]]*)\]", target["expr"])
        if any(window != "$__rate_interval" for window in windows):
            yield f"{panel['title']}: a rate over {', '.join(windows)}"


def _target_matcher(label: str) -> Rule:
    def rule(dashboard: Json) -> Finding:
        values = {one["name"]: f"value of {one['name']}" for one in variables(dashboard)}
        for panel, target in targets(dashboard):
            try:
                tree = promql.parse(target["expr"], values)
            except (KeyError, ValueError):
                continue
            for selector, _ in promql.selectors(tree):
                found = [(one.op, one.value) for one in selector.matchers.matchers if one.name == label]
                # an alert has the labels of its expression, which is often a sum over all jobs
                if selector.name != "ALERTS" and (parser.MatchOp.Re, f"value of {label}") not in found:
                    yield f"{panel['title']}: {selector.name} is not limited to the chosen {label}"

    return rule


def _counters(dashboard: Json) -> Finding:
    for place, _, tree in _trees(dashboard):
        for selector, parents in promql.selectors(tree):
            series = promql.known(selector.name or "")
            grows = (selector.name or "").endswith("_total") or (series is not None and series.kind != "gauge")
            if grows and promql.function_around(parents) not in promql.GROWTH:
                yield f"{place}: {selector.name} is a counter, which says something only in a rate or an increase"


def _gauges(dashboard: Json) -> Finding:
    for place, _, tree in _trees(dashboard):
        for selector, parents in promql.selectors(tree):
            series = promql.known(selector.name or "")
            if series and series.kind == "gauge" and promql.function_around(parents) in promql.GROWTH:
                yield f"{place}: {selector.name} is a gauge, which has no rate"


def _uneditable(dashboard: Json) -> Finding:
    if dashboard["editable"]:
        yield "people could edit it in Grafana, and lose the change at the next start"


PUBLIC_RULES: Mapping[str, Rule] = {
    "template-datasource": _datasource,
    "template-job": _template("job", "Job"),
    "template-instance": _template("instance", "Instance"),
    "template-label-promql": _label_queries,
    "template-on-time-change-reload": _reload,
    "panel-datasource": _panel_datasource,
    "panel-title-description": _title_and_description,
    "panel-units": _panel_units,
    "panel-no-targets": _no_targets,
    "target-promql": _valid_promql,
    "target-rate-interval": _rate_interval,
    "target-job": _target_matcher("job"),
    "target-instance": _target_matcher("instance"),
    "target-counter-agg": _counters,
    "uneditable-dashboard": _uneditable,
}
"""The rules of https://github.com/grafana/dashboard-linter under their names there."""


def _declared(dashboard: Json) -> Finding:
    for place, _, tree in _trees(dashboard):
        for selector, _parents in promql.selectors(tree):
            series = promql.known(selector.name or "")
            if series is None:
                yield f"{place}: {selector.name} is not declared in libs/telemetry/catalog.py"
                continue
            for one in selector.matchers.matchers:
                if one.name not in series.labels:
                    yield f"{place}: {selector.name} has no label {one.name}"
                elif not _may_match(one, series.labels[one.name]):
                    yield f"{place}: {selector.name} never has {one}"


def _may_match(matcher: parser.Matcher, values: tuple[str, ...]) -> bool:
    """True if a declared value matches, or none is declared, or a variable is chosen."""
    if not values or matcher.value == "x":
        return True
    pattern = re.compile(matcher.value if matcher.op in (parser.MatchOp.Re, parser.MatchOp.NotRe) else "")
    match matcher.op:
        case parser.MatchOp.Equal:
            return matcher.value in values
        case parser.MatchOp.Re:
            return any(map(pattern.fullmatch, values))
        case parser.MatchOp.NotEqual:
            return any(value != matcher.value for value in values)
        case _:
            return not all(map(pattern.fullmatch, values))


def _exported(dashboard: Json) -> Finding:
    [job] = [one for one in variables(dashboard) if one["name"] == "job"] or [{"current": {"value": ["$__all"]}}]
    shown = JOBS if job["current"]["value"] == ["$__all"] else job["current"]["value"]
    for place, _, tree in _trees(dashboard):
        for selector, _parents in promql.selectors(tree):
            series = promql.known(selector.name or "")
            if series and series.jobs != ("*",) and not set(series.jobs) & set(shown):
                yield f"{place}: none of {', '.join(shown)} exports {selector.name}"


def _grouped(dashboard: Json) -> Finding:
    for place, _, tree in _trees(dashboard):
        for node, _parents in promql.nodes(tree):
            if not isinstance(node, parser.AggregateExpr) or node.modifier is None:
                continue
            for selector, _ in promql.selectors(node.expr):
                series = promql.known(selector.name or "")
                if missing := [label for label in node.modifier.labels if series and label not in series.labels]:
                    yield f"{place}: {selector.name} has no label {', '.join(missing)}"


def _legends(dashboard: Json) -> Finding:
    for panel, target in targets(dashboard):
        if not target.get("legendFormat"):
            yield f"{panel['title']}, {target['refId']}: no legend"
        by = {label.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for label in group.split(",")}
        if missing := set(_LEGEND_LABEL.findall(target.get("legendFormat", ""))) - by:
            yield f"{panel['title']}, {target['refId']}: no series has {', '.join(sorted(missing))}"


def _units_fit(dashboard: Json) -> Finding:
    for place, panel, tree in _trees(dashboard):
        found = panel["fieldConfig"]["defaults"].get("unit")
        unit = promql.unit(tree)
        if panel["type"] == "heatmap":  # the axis has the bounds of the buckets, and the cells have the numbers
            names = {re.sub("_bucket$", "", selector.name or "") for selector, _ in promql.selectors(tree)}
            unit = promql.unit(parser.parse(names.pop())) if len(names) == 1 else ""
        if found not in UNITS.get(unit, ()):
            yield f"{place}: {found} for {unit or 'an expression without a unit'}"


def _no_invented_zero(dashboard: Json) -> Finding:
    for place, _, tree in _trees(dashboard):
        for node, _parents in promql.nodes(tree):
            if isinstance(node, parser.Call) and node.func.name in ("vector", "absent", "absent_over_time"):
                yield f"{place}: {node.func.name}() shows a value where no metric is"


def _sentences(dashboard: Json) -> Finding:
    for panel in panels(dashboard):
        text = panel.get("description", "")
        if len(text.split()) < SENTENCE_WORDS or text[0].islower() or not text.endswith("."):
            yield f"{panel['title']}: the description is no sentence"


def _runbooks(dashboard: Json) -> Finding:
    for panel in panels(dashboard):
        links = [link for link in panel.get("links", []) if link["title"].startswith("Runbook: ")]
        if len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1 and not links:
            yield f"{panel['title']} can be red, and no runbook says what to do"
        for link in links:
            name = Path(urlsplit(link["url"]).path).name
            if not (ROOT / "docs" / "runbooks" / name).is_file():
                yield f"{panel['title']}: there is no docs/runbooks/{name}"


def _kinds(dashboard: Json) -> Finding:
    for panel in panels(dashboard):
        if panel["type"] not in KINDS:
            yield f"{panel['title']}: Grafana 12 draws no {panel['type']}"


def _titles(dashboard: Json) -> Finding:
    counts = Counter(panel.get("title") for panel in panels(dashboard))
    yield from (f"{count} panels are called {title}" for title, count in counts.items() if count > 1)


def _places(dashboard: Json) -> Finding:
    for one, other in combinations(dashboard["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        if not beside and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]:
            yield f"{one['title']} covers {other['title']}"


def _behavior(dashboard: Json) -> Finding:
    if dashboard["graphTooltip"] == 0:
        yield "the panels have no common crosshair"
    if dashboard["refresh"] != "30s" or dashboard["time"] != {"from": "now-1h", "to": "now"}:
        yield "it does not show the last hour, renewed every 30 s"
    if not dashboard["links"]:
        yield "no link leads to another dashboard"


OWN_RULES: Mapping[str, Rule] = {
    "declared": _declared,
    "exported": _exported,
    "grouped": _grouped,
    "legends": _legends,
    "units-fit": _units_fit,
    "gauges": _gauges,
    "no-invented-zero": _no_invented_zero,
    "sentences": _sentences,
    "runbooks": _runbooks,
    "kinds": _kinds,
    "titles": _titles,
    "places": _places,
    "behavior": _behavior,
}
