import copy
from collections.abc import Callable
from typing import Any

import pytest

from deploy.observability.dashboards import DASHBOARDS
from deploy.observability.dashboards.model import Dashboard, Panel, Row, Target, Variable
from deploy.observability.lint import OWN_RULES, PUBLIC_RULES, lint, panels

Json = dict[str, Any]
GOOD = Dashboard(
    name="good",
    title="Good",
    text="A dashboard without a fault.",
    tag="area",
    jobs=("feed",),
    variables=(Variable("order", "Order", "label_values(feedmill_feed_reads_total, order)"),),
    rows=[
        Row(
            "Row",
            [
                Panel(
                    title="Pages",
                    text="Pages per second, which follow the readers.",
                    unit="reqps",
                    targets=[
                        Target(
                            'sum by (cache) (rate(feedmill_feed_reads_total{job=~"$job",instance=~"$instance",'
                            'order=~"$order"}[$__rate_interval]))',
                            "{{cache}}",
                        )
                    ],
                    alerts=["DeadLetters"],
                ),
                Panel(
                    title="Memory",
                    text="The memory of all instances, which should be level.",
                    unit="bytes",
                    targets=[Target('sum(process_resident_memory_bytes{job=~"$job",instance=~"$instance"})', "all")],
                ),
            ],
        )
    ],
).as_json("docs/runbooks")
CHOSEN = 'job=~"$job",instance=~"$instance"'


def variable(name: str, /, **changes: Any) -> Callable[[Json], None]:
    def plant(dashboard: Json) -> None:
        next(one for one in dashboard["templating"]["list"] if one["name"] == name).update(changes)

    return plant


def without_variable(name: str) -> Callable[[Json], None]:
    def plant(dashboard: Json) -> None:
        dashboard["templating"]["list"] = [one for one in dashboard["templating"]["list"] if one["name"] != name]

    return plant


def panel(**changes: Any) -> Callable[[Json], None]:
    return lambda dashboard: panels(dashboard)[0].update(changes)


def unit(name: str) -> Callable[[Json], None]:
    return lambda dashboard: panels(dashboard)[0]["fieldConfig"]["defaults"].update(unit=name)


def expression(text: str, legend: str = "all") -> Callable[[Json], None]:
    return lambda dashboard: panels(dashboard)[0]["targets"][0].update(expr=text, legendFormat=legend)


def page(**changes: Any) -> Callable[[Json], None]:
    return lambda dashboard: dashboard.update(changes)


def thresholds(dashboard: Json) -> None:
    found = panels(dashboard)[0]
    found["fieldConfig"]["defaults"]["thresholds"]["steps"] += [{"color": "red", "value": 1}]
    found["links"] = []


def query(text: str) -> Callable[[Json], None]:
    return variable("order", query={"query": text, "refId": "variable-order"})


def rate(selector: str, window: str = "$__rate_interval") -> str:
    return f"sum(rate({selector}[{window}]))"


PLANTED: list[tuple[str, str, Callable[[Json], None]]] = [
    ("template-datasource", "no variable chooses", without_variable("datasource")),
    ("template-datasource", "is source", variable("datasource", name="source")),
    ("template-job", "no variable job", without_variable("job")),
    ("template-job", "wrong multi, allValue", variable("job", multi=False, allValue="")),
    ("template-job", "wrong data source", variable("job", datasource={"type": "prometheus", "uid": "abc"})),
    ("template-instance", "no variable instance", without_variable("instance")),
    ("template-instance", "wrong label", variable("instance", label="instance")),
    ("template-label-promql", "is not label_values", query("query_result(up)")),
    ("template-label-promql", "is not label_values", query("label_values(order)")),
    ("template-label-promql", "order: ", query("label_values(up{, job)")),
    ("template-label-promql", "has no label order", query("label_values(up, order)")),
    ("template-on-time-change-reload", "order does not change", variable("order", refresh=1)),
    ("panel-datasource", "Pages does not use", panel(datasource={"type": "prometheus", "uid": "abc"})),
    ("panel-title-description", "no title", panel(title="")),
    ("panel-title-description", "no description", panel(description="")),
    ("panel-units", "Pages has no unit", unit("")),
    ("panel-units", "not known", unit("furlongs")),
    ("panel-no-targets", "no expression", panel(targets=[])),
    ("target-promql", "unclosed left parenthesis", expression("sum(up")),
    ("target-promql", "no variable 'nobody'", expression('up{job=~"$nobody"}')),
    ("target-rate-interval", "a rate over 5m", expression(rate(f"feedmill_feed_reads_total{{{CHOSEN}}}", "5m"))),
    ("target-job", "chosen job", expression('sum(up{instance=~"$instance"})')),
    ("target-job", "chosen job", expression('sum(up{job="feed",instance=~"$instance"})')),
    ("target-job", "chosen job", expression('sum(up{job!~"$job",instance=~"$instance"})')),
    ("target-instance", "chosen instance", expression('sum(up{job=~"$job"})')),
    ("target-counter-agg", "is a counter", expression(f"sum(feedmill_feed_reads_total{{{CHOSEN}}})")),
    ("target-counter-agg", "is a counter", expression(f"sum(feedmill_feed_page_seconds_bucket{{{CHOSEN}}})")),
    ("target-counter-agg", "is a counter", expression(f"max_over_time(feedmill_feed_reads_total{{{CHOSEN}}}[1h])")),
    ("uneditable-dashboard", "could edit", page(editable=True)),
    ("declared", "feedmill_unknown is not declared", expression("feedmill_unknown")),
    ("declared", "feedmill_feed_page_seconds is not declared", expression("feedmill_feed_page_seconds")),
    ("declared", "has no label colour", expression(rate('feedmill_feed_reads_total{colour="red"}'))),
    ("declared", 'never has mode="shove"', expression(rate('feedmill_fanout_posts_total{mode="shove"}'))),
    ("declared", 'never has le="0.07"', expression(rate('feedmill_http_request_seconds_bucket{le="0.07"}'))),
    ("declared", "never has window=~", expression('feedmill_feed_active_readers{window=~"1h|2h"}')),
    ("declared", "never has lane!~", expression(rate('feedmill_fanout_seconds_count{lane!~"push|slow"}'))),
    ("exported", "none of feed exports", expression(rate(f"feedmill_fanout_deliveries_total{{{CHOSEN}}}"))),
    ("grouped", "has no label colour", expression(f"sum by (colour) (up{{{CHOSEN}}})")),
    ("legends", "no series has order", expression("sum by (job) (up)", "{{order}}")),
    ("legends", "no legend", expression("sum by (job) (up)", "")),
    ("units-fit", "reqps for bytes", expression(f"sum(process_resident_memory_bytes{{{CHOSEN}}})")),
    ("units-fit", "reqps for ratio", expression(rate("process_cpu_seconds_total"))),
    ("units-fit", "s for count per second", unit("s")),
    ("units-fit", "without a unit", expression("sum(process_open_fds) + sum(process_resident_memory_bytes)")),
    ("gauges", "is a gauge", expression(f"rate(up{{{CHOSEN}}}[$__rate_interval])")),
    ("no-invented-zero", "vector()", expression(f"sum(up{{{CHOSEN}}}) or vector(0)")),
    ("no-invented-zero", "absent()", expression(f"absent(up{{{CHOSEN}}})")),
    ("sentences", "is no sentence", panel(description="Pages per second")),
    ("sentences", "is no sentence", panel(description="Pages.")),
    ("runbooks", "no runbook says", thresholds),
    ("runbooks", "no docs/runbooks/none.md", panel(links=[{"title": "Runbook: None", "url": "http://a/none.md"}])),
    ("kinds", "draws no graph", panel(type="graph")),
    ("titles", "2 panels are called Memory", panel(title="Memory")),
    ("places", "Pages covers Memory", panel(gridPos={"x": 0, "y": 1, "w": 9, "h": 8})),
    ("behavior", "no common crosshair", page(graphTooltip=0)),
    ("behavior", "renewed every 30 s", page(refresh="5s")),
    ("behavior", "renewed every 30 s", page(time={"from": "now-6h", "to": "now"})),
    ("behavior", "no link", page(links=[])),
]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)
def test_our_dashboards_have_no_fault(dashboard: Dashboard) -> None:
    assert lint(dashboard.as_json("https://example.org/runbooks")) == []


def test_the_good_example_has_no_fault() -> None:
    assert lint(GOOD) == []


@pytest.mark.parametrize(("name", "words", "plant"), PLANTED, ids=[f"{one[0]}-{one[1]}" for one in PLANTED])
def test_a_rule_finds_the_planted_fault(name: str, words: str, plant: Callable[[Json], None]) -> None:
    dashboard = copy.deepcopy(GOOD)
    plant(dashboard)
    found = list({**PUBLIC_RULES, **OWN_RULES}[name](dashboard))
    assert len(found) == 1
    assert words in found[0]


def test_each_rule_has_a_planted_fault() -> None:
    assert {name for name, _, _ in PLANTED} == {*PUBLIC_RULES, *OWN_RULES}


def test_the_public_linter_has_fifteen_rules_that_apply() -> None:
    assert len(PUBLIC_RULES) == 15


def test_a_panel_in_a_collapsed_row_is_checked() -> None:
    dashboard = copy.deepcopy(GOOD)
    row, *inner = dashboard["panels"]
    dashboard["panels"] = [{**row, "collapsed": True, "panels": inner}]
    assert [one["title"] for one in panels(dashboard)] == ["Pages", "Memory"]
