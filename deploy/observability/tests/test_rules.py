"""The rules as promtool sees them, and as the catalog allows them."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from deploy.observability import alertmanager, prometheus, rules
from deploy.observability.__main__ import rendered
from deploy.observability.prometheus import JOBS, write
from deploy.observability.recorded import RECORDS
from deploy.observability.rules import RULES
from deploy.observability.tests.cases import ANOMALIES, CASES, LOOK_S, WEEK_FACTOR, Case, Series, up
from deploy.observability.timing import Timing
from libs.deployables import routes
from libs.telemetry.catalog import BY_NAME, EVERY, METRICS, Metric

FACTORS = (1, 5, 15, 168)
SOURCES = {
    *(
        f"scale §13.1 {row}"
        for row in (
            "Feed P50 latency",
            "Feed P99 latency",
            "Post creation latency",
            "Fan-out lag",
            "Redis cache hit rate",
            "CDN cache hit rate",
            "Error rate (5xx)",
            "Kafka consumer lag",
        )
    ),
    *(f"scale §10.1 Level {level}" for level in (1, 2, 3)),
    *(f"photo {row}" for row in ("High error rate", "Slow responses", "Queue buildup", "Storage full", "Worker down")),
    "own: a dead letter waits",
    "own: a store is unavailable",
    "own: anomaly of traffic",
    "own: anomaly of sign-ups",
    "own: anomaly of errors",
    "own: a page that nobody acknowledged",
    "SPEC §5 availability",
}
CAUSES = {"PageNotAcknowledged": ("ProcessDown",)}
DISTINGUISHING = ("level", "store", "window")
Key = tuple[str, str, str]


def key(name: str, severity: str, labels: Mapping[str, str]) -> Key:
    return name, severity, "".join(labels.get(label, "") for label in DISTINGUISHING)


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("factor", FACTORS)
def test_prometheus_and_alertmanager_accept_what_is_rendered(tmp_path: Path, factor: float) -> None:
    urls = dict.fromkeys(alertmanager.WEBHOOKS.values(), "http://127.0.0.1:9/hook")
    write(tmp_path, rendered(Timing(factor), urls if factor == 1 else {}))
    write(tmp_path, prometheus.targets({job: f"{job}:8000" for job in JOBS}) | prometheus.alertmanagers("a:9093"))
    run("promtool", "check", "config", tmp_path / "prometheus" / "prometheus.yml")
    run("amtool", "check-config", tmp_path / "alertmanager" / "alertmanager.yml")


def promtool_test(series: Series, expr: str, at: str, wanted: float, interval: str) -> dict[str, Any]:
    return {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": [{"labels": "{}", "value": wanted}]}],
    }


def firing(case: Case) -> str:
    labels = {"alertname": case.name, "severity": case.severity, "alertstate": "firing", **case.labels}
    matchers = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"count(ALERTS{{{matchers}}}) or vector(0)"


def trials(case: Case, at: str, interval: str) -> Iterator[dict[str, Any]]:
    for series in case.firing:
        yield promtool_test(series, firing(case), at, case.count, interval)
    for series in case.quiet:
        yield promtool_test(series, firing(case), at, 0, interval)


def only(rendered_rules: str, names: set[str]) -> str:
    """The rules of these alerts, and the recording rules that they need: promtool is slow with all of them."""
    every = [rule for group in json.loads(rendered_rules)["groups"] for rule in group["rules"]]
    found = [rule for rule in every if rule.get("alert") in names]
    for rule in reversed(every):
        if "record" in rule and any(rule["record"] in one["expr"] for one in found):
            found.insert(0, rule)
    return json.dumps({"groups": [{"name": "tested", "rules": found}]})


def check_with_promtool(
    folder: Path, timing: Timing, evaluation: str, suites: Mapping[str, Sequence[dict[str, Any]]]
) -> None:
    """Run the tests of each alert."""
    [text] = rules.files(timing, {}).values()
    files = []
    for name, tests in suites.items():
        (folder / f"{name}-rules.yml").write_text(only(text, {name, *CAUSES.get(name, ())}))
        suite = {"rule_files": [f"{name}-rules.yml"], "evaluation_interval": evaluation, "tests": list(tests)}
        files.append(folder / f"{name}-tests.yml")
        files[-1].write_text(json.dumps(suite))
    run("promtool", "test", "rules", *files)


def suites_of(cases: Sequence[Case], at: str | None, interval: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        found.setdefault(case.name, []).extend(trials(case, at or f"{case.minutes}m", interval))
    return found


def test_every_rule_fires_when_it_must_and_not_before(tmp_path: Path) -> None:
    check_with_promtool(tmp_path, Timing(), "1m", suites_of(CASES, None, "15s"))


def test_anomalies_compare_with_last_week(tmp_path: Path) -> None:
    check_with_promtool(tmp_path, Timing(WEEK_FACTOR), "5s", suites_of(ANOMALIES, f"{LOOK_S}s", "1s"))


def test_a_process_without_a_target_is_noticed_and_the_watchdog_always_fires(tmp_path: Path) -> None:
    absent = Case(name="ProcessAbsent", severity="page", firing=({},), quiet=(), count=len(JOBS))
    present = Case(
        name="ProcessAbsent",
        severity="page",
        firing=(),
        quiet=({name: values for job in JOBS for name, values in up(job, 0).items()},),
    )
    watchdog = Case(name="Watchdog", severity="watchdog", firing=({},), quiet=())
    check_with_promtool(tmp_path, Timing(), "30s", suites_of((absent, present, watchdog), "5m", "15s"))


def test_the_cases_cover_every_row() -> None:
    covered = {key(case.name, case.severity, case.labels) for case in (*CASES, *ANOMALIES)}
    rows = {key(rule.name, rule.severity, rule.all_labels) for rule in RULES}
    assert rows - covered == {("ProcessAbsent", "page", ""), ("Watchdog", "watchdog", "")}
    assert covered <= rows


def outage(at: int) -> Series:
    """10 requests at each scrape, all of which fail from the value `at` on."""
    series = 'feedmill_gateway_request_seconds_count{job="gateway-metrics",method="GET",route="/v1/feed",status='
    return {f'{series}"200"}}': f"0+10x{at} {at * 10}x40", f'{series}"503"}}': f"0x{at} 10+10x40"}


def test_a_full_outage_fires_within_two_minutes_and_ends_within_six(tmp_path: Path) -> None:
    """After an hour with traffic. Either the services are down, and the gateway answers 503, or nginx is."""
    begin = 60 * 4
    down = {'feedmill_gateway_up{job="gateway-metrics"}': f"1x{begin} 0x8 1x40"}
    burning, stopped = (
        firing(next(case for case in CASES if case.name == name)) for name in ("ErrorBudgetBurn", "GatewayDown")
    )
    suites = {
        "ErrorBudgetBurn": [
            promtool_test(outage(begin), burning, "59m", 0, "15s"),
            promtool_test(outage(begin), burning, "62m", 1, "15s"),
        ],
        "GatewayDown": [
            promtool_test(down, stopped, "61m30s", 1, "15s"),
            promtool_test(down, stopped, "68m30s", 0, "15s"),
        ],
    }
    check_with_promtool(tmp_path, Timing(), "15s", suites)


def expressions() -> list[str]:
    return [Timing().expression(one) for one in (*(r.expression for r in RECORDS), *(r.expression for r in RULES))]


def selectors(expression: str) -> list[promql.VectorSelector]:
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        elif isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)

    promql.walk(promql.parse(expression), visit)
    return list({str(one): one for one in found}.values())


def test_expressions_use_declared_metrics_labels_and_values_only() -> None:
    recorded = {record.name for record in RECORDS}
    known = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity", "page"}}
    for expression in expressions():
        for selector in selectors(expression):
            name = str(selector.name)
            labels = {matcher.name for matcher in selector.matchers.matchers}
            if name in recorded:
                assert labels <= {"slo", "job", "group"}, expression
            elif name in known:
                assert labels <= known[name], expression
            else:
                check_metric(name, selector, expression)


def check_metric(name: str, selector: promql.VectorSelector, expression: str) -> None:
    metric = BY_NAME.get(name) or histogram_of(name)
    assert metric is not None, f"{name} is not in the catalog: {expression}"
    for matcher in selector.matchers.matchers:
        if matcher.name == "job":
            assert matcher.value in JOBS, expression
            assert metric.jobs == EVERY or matcher.value in metric.jobs, expression
        elif matcher.name == "le":
            assert float(matcher.value) in metric.buckets, expression
            assert matcher.value == str(float(matcher.value)), f"Prometheus has no such bucket: {expression}"
        else:
            assert matcher.name in metric.labels, f"{name} has no label {matcher.name}: {expression}"
            values = metric.labels[matcher.name]
            named = set(matcher.value.split("|")) if matcher.op in (promql.MatchOp.Equal, promql.MatchOp.Re) else set()
            assert not values or named <= set(values), f"{matcher.value}: {expression}"
        if matcher.name == "route" and name.startswith("feedmill_gateway_"):
            assert matcher.value in {route.path for route in routes()}, expression


def histogram_of(name: str) -> Metric | None:
    base, _, part = name.rpartition("_")
    metric = BY_NAME.get(base)
    return metric if metric and metric.kind == "histogram" and part in ("bucket", "count", "sum") else None


def test_aggregations_use_labels_that_exist() -> None:
    known = {"job", "instance", "le", "slo", "page", "stores", "group"}
    known |= {label for metric in METRICS for label in metric.labels}
    for expression in expressions():

        def visit(node: promql.Expr, expression: str = expression) -> None:
            if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
                assert set(node.modifier.labels) <= known, expression

        promql.walk(promql.parse(expression), visit)


def test_counters_are_used_by_rate_only() -> None:
    for expression in expressions():
        bare = [
            one
            for one in selectors_outside_ranges(expression)
            if (metric := BY_NAME.get(str(one.name))) is not None and metric.kind == "counter"
        ]
        assert not bare, expression


def selectors_outside_ranges(expression: str) -> list[promql.VectorSelector]:
    inside: list[str] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.MatrixSelector):
            inside.append(str(node.vector_selector))

    promql.walk(promql.parse(expression), visit)
    return [one for one in selectors(expression) if str(one) not in inside]


def test_every_row_of_the_sources_has_a_rule() -> None:
    found = {rule.source for rule in RULES} | {"photo High error rate"}
    assert found >= SOURCES
    assert any("photo's row High error rate" in rule.text for rule in RULES)


def test_there_are_at_least_twelve_pages() -> None:
    assert len({rule.name for rule in RULES if rule.severity == "page"}) >= 12


def test_absence_and_page_rules_survive_a_restart_of_prometheus() -> None:
    """A restart leaves a gap of one scrape: what looks at presence or at an age must wait for two."""
    for rule in RULES:
        if "absent(" in rule.expression or "time()" in rule.expression or rule.expression.endswith("== 0"):
            assert rule.hold_s >= 30, rule.name
