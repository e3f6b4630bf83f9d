import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.observability import grafana
from deploy.observability.answers import built_in
from deploy.observability.dashboards import DASHBOARDS
from deploy.observability.dashboards.model import Dashboard, Limits, Panel, Row, Target, Variable
from deploy.observability.lint import panels
from deploy.observability.promql import with_variables
from deploy.observability.rules import RULES
from deploy.observability.show import wanted
from deploy.observability.timing import Timing
from libs.deployables import DEPLOYABLES
from libs.telemetry.catalog import METRICS

RUNBOOKS = "https://example.org/runbooks"
PANEL = Panel(title="Requests", text="What it shows.", unit="reqps", targets=[Target("up", "{{job}}")])


def drawn(**changes: Any) -> dict[str, Any]:
    """The JSON of a panel that differs from a plain one."""
    arguments = {name: getattr(PANEL, name) for name in ("title", "text", "unit", "targets")}
    panel = Panel(**{**arguments, **changes})
    page = Dashboard(name="one", title="One", text="Text.", tag="area", rows=[Row("Row", [panel])])
    return panels(page.as_json(RUNBOOKS))[0]


def test_promtool_accepts_each_expression(tmp_path: Path) -> None:
    expressions = {target.expr for one in DASHBOARDS for panel in one.panels() for target in panel.targets}
    values = {"job": "x", "instance": "x", "route": "x", "group": "x", "store": "x"} | built_in()
    rules = [{"record": f"n{index}", "expr": with_variables(expr, values)} for index, expr in enumerate(expressions)]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    found = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_addresses_are_fixed_and_different() -> None:
    names = [one.name for one in DASHBOARDS]
    assert len(set(names)) == len(names)
    assert [one.uid for one in DASHBOARDS if one.tag != "deployable"] == [
        f"feedmill-{name}"
        for name in ("overview", "feed", "fanout", "media", "interactions", "stores", "kafka", "gateway")
    ]


def test_each_deployable_has_a_dashboard() -> None:
    found = {one.name for one in DASHBOARDS if one.tag == "deployable"}
    assert found == {f"deployable-{one.name}" for one in DEPLOYABLES}


def test_each_declared_metric_is_shown() -> None:
    shown = " ".join(target.expr for one in DASHBOARDS for panel in one.panels() for target in panel.targets)
    assert [metric.name for metric in METRICS if metric.name not in shown] == []


def test_the_panels_of_an_alert_exist() -> None:
    linked = {alert for one in DASHBOARDS for panel in one.panels() for alert in panel.alerts}
    assert linked <= {rule.name for rule in RULES}
    pages = {rule.name for rule in RULES if rule.severity == "page"}
    assert pages - linked == set(), "a page without a panel that shows its figure"


def test_the_dashboard_of_an_alert_exists() -> None:
    names = {one.name for one in DASHBOARDS} | {"deployable-{{ $labels.job }}"}
    assert {rule.dashboard for rule in RULES} <= names


def test_a_detail_is_a_dashboard() -> None:
    names = {one.name for one in DASHBOARDS}
    assert {panel.detail for one in DASHBOARDS for panel in one.panels() if panel.detail} <= names


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        (Limits(1, 3), [("green", None), ("yellow", 1), ("red", 3)]),
        (Limits(0.9, 0.8), [("red", None), ("yellow", 0.8), ("green", 0.9)]),
        (Limits(2, 2), [("green", None), ("red", 2)]),
    ],
)
def test_limits_become_thresholds(limits: Limits, steps: list[tuple[str, float | None]]) -> None:
    found = drawn(limits=limits, alerts=["FeedWrong"])["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [(step["color"], step["value"]) for step in found] == steps


def test_a_panel_links_to_the_runbook_and_to_the_detail() -> None:
    links = drawn(alerts=["FeedWrong"], detail="feed")["links"]
    assert [link["url"] for link in links] == [
        f"{RUNBOOKS}/feed-wrong.md",
        "/d/feedmill-feed?${__url_time_range}",
    ]


def test_exemplars_are_on_where_there_are_buckets() -> None:
    buckets = Target('sum by (le) (rate(feedmill_fanout_seconds_bucket{lane="push"}[1m]))', "x")
    assert drawn(targets=[buckets])["targets"][0]["exemplar"]
    assert not drawn()["targets"][0]["exemplar"]
    assert not drawn(kind="stat", targets=[buckets])["targets"][0]["exemplar"]


def test_a_panel_says_what_fills_it() -> None:
    assert drawn(event="a file arrives")["description"] == "What it shows. There is no data until a file arrives."


def test_panels_flow_into_lines() -> None:
    wide = Panel(title="Wide", text="What it shows.", unit="short", targets=PANEL.targets, width=20, height=5)
    page = Dashboard(
        name="one", title="One", text="Text.", tag="area", rows=[Row("A", [PANEL, wide]), Row("B", [wide])]
    )
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in page.as_json(RUNBOOKS)["panels"]]
    assert places == [(0, 0), (0, 1), (0, 9), (0, 14), (0, 15)]


def test_all_jobs_can_be_chosen_only_where_all_are_meant() -> None:
    page = Dashboard(name="one", title="One", text="Text.", tag="area", rows=[], jobs=("feed", "canary"))
    job = page.as_json(RUNBOOKS)["templating"]["list"][1]
    assert job["query"]["query"] == 'label_values(up{job=~"feed|canary"}, job)'
    assert (job["current"]["value"], job["includeAll"]) == (["feed", "canary"], False)


def test_own_variables_come_after_the_common_ones() -> None:
    route = Variable("route", "Route", "label_values(up, job)")
    page = Dashboard(name="one", title="One", text="Text.", tag="area", rows=[], variables=(route,))
    found = page.as_json(RUNBOOKS)["templating"]["list"]
    assert [one["name"] for one in found] == ["datasource", "job", "instance", "route"]
    assert found[-1]["current"]["value"] == ["$__all"]


def test_the_files_of_grafana() -> None:
    files = grafana.files(Timing(), {"FEEDMILL_RUNBOOKS_URL": f"{RUNBOOKS}/"})
    assert {path for path in files if "/dashboards/" in path} == {
        "grafana/provisioning/dashboards/feedmill.yml",
        *(f"grafana/dashboards/{one.name}.json" for one in DASHBOARDS),
    }
    assert f"{RUNBOOKS}/feed-wrong.md" in files["grafana/dashboards/feed.json"]
    sources = json.loads(files["grafana/provisioning/datasources/feedmill.yml"])["datasources"]
    ids = {source["uid"] for source in sources}
    metrics, traces, logs = (source["jsonData"] for source in sources)
    assert metrics["timeInterval"] == "15s"
    assert metrics["exemplarTraceIdDestinations"][0]["datasourceUid"] in ids
    assert traces["tracesToLogsV2"]["datasourceUid"] in ids
    assert logs["derivedFields"][0]["datasourceUid"] in ids


def test_the_command_line_names_dashboards(capsys: pytest.CaptureFixture[str]) -> None:
    assert wanted([]) == ["overview"]
    assert wanted(["feed", "stores"]) == ["feed", "stores"]
    with pytest.raises(SystemExit):
        wanted(["feed", "nothing"])
    assert "unknown: nothing" in capsys.readouterr().err
