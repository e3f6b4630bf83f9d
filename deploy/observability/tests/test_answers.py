from typing import Any

import httpx2
import pytest

from deploy.observability.answers import Answer, Prometheus, PrometheusError, answers, built_in, chosen, resolved
from deploy.observability.check import report
from deploy.observability.dashboards.model import Dashboard, Panel, Row, Target, Variable

LIST = {"type": "query", "multi": True, "includeAll": True, "allValue": ".+", "current": {"value": ["$__all"]}}
EVENT = "a file arrives"


def page(*panels: Panel, jobs: tuple[str, ...] = ()) -> Dashboard:
    route = Variable("route", "Route", 'label_values(up{job=~"$job"}, route)')
    rows = [Row("Row", panels)]
    return Dashboard(name="one", title="One", text="Text.", tag="area", rows=rows, jobs=jobs, variables=(route,))


def panel(expression: str, event: str = "", **more: Any) -> Panel:
    return Panel(title=expression, text="Text.", unit="short", targets=[Target(expression, "x")], event=event, **more)


class Answering:
    """A Prometheus of which each series has one sample, and whose other expressions have none.

    `asked` has the path and the parameters of each request.
    """

    def __init__(self, samples: dict[str, str], options: dict[str, list[str]]) -> None:
        self.samples = samples
        self.options = options
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path, params = request.url.path, dict(request.url.params)
        self.asked.append((path, params))
        if path.startswith("/api/v1/label/"):
            return self._data(self.options.get(path.split("/")[4], []))
        if params["query"] == "broken(":
            return httpx2.Response(400, json={"status": "error", "error": "parse error"})
        value = self.samples.get(params["query"])
        if path == "/api/v1/query":
            return self._data({"result": [{"metric": {}, "value": [1, value]}] if value else []})
        return self._data({"result": [{"values": [[1, "NaN"], [2, value]]}] if value else []})

    def _data(self, data: Any) -> httpx2.Response:
        return httpx2.Response(200, json={"status": "success", "data": data})


async def ask(
    dashboard: Dashboard, samples: dict[str, str], expected: tuple[str, ...] = (), **options: list[str]
) -> tuple[list[Answer], Answering]:
    known = {"job": ["feed"], "instance": ["127.0.0.1:1"], "route": ["/v1/feed"]} | options
    server = Answering(samples, known)
    async with httpx2.AsyncClient(base_url="http://x", transport=httpx2.MockTransport(server)) as http:
        return await answers(Prometheus(http), dashboard, 0, 60, expected), server


async def test_a_panel_with_a_sample_has_data() -> None:
    [found], _ = await ask(page(panel("up")), {"up": "0"})
    assert found == Answer("one", "up", has_data=True)


async def test_a_panel_without_data_and_event_is_a_fault() -> None:
    [found], _ = await ask(page(panel("up")), {})
    assert found == Answer("one", "up", has_data=False, problem="no data: up")


@pytest.mark.parametrize("kind", ["stat", "timeseries"])
async def test_a_value_that_is_not_a_number_is_no_data(kind: str) -> None:
    [found], _ = await ask(page(panel("up", kind=kind)), {"up": "NaN"})
    assert found.problem == "no data: up"


async def test_an_event_excuses_a_panel_unless_it_is_expected() -> None:
    dashboard = page(panel("up", EVENT))
    [excused], _ = await ask(dashboard, {})
    [expected], _ = await ask(dashboard, {}, (EVENT,))
    assert excused == Answer("one", "up", has_data=False, event=EVENT)
    assert expected.problem == "no data: up"


async def test_an_event_does_not_excuse_a_wrong_expression() -> None:
    [found], _ = await ask(page(panel("broken(", EVENT)), {})
    assert found.problem == "parse error: broken("


async def test_one_line_without_data_is_a_fault_of_the_panel() -> None:
    both = Panel(title="Both", text="Text.", unit="short", targets=[Target("up", "x"), Target("down", "y")])
    [found], _ = await ask(page(both), {"up": "1"})
    assert found.problem == "no data: down"


async def test_variables_are_replaced_before_prometheus_is_asked() -> None:
    dashboard = page(panel('a{job=~"$job",route=~"${route}"}[$__rate_interval]'), jobs=("feed", "media-worker"))
    _, server = await ask(dashboard, {}, job=["feed", "media-worker"])
    assert server.asked[-1][1]["query"] == 'a{job=~"(feed|media-worker)",route=~".+"}[60s]'
    assert ("/api/v1/label/route/values", {"match[]": 'up{job=~"(feed|media-worker)"}'}) in server.asked


async def test_numbers_are_asked_for_now_and_lines_for_the_whole_time() -> None:
    _, server = await ask(page(panel("one", kind="stat"), panel("other")), {})
    (at, now), (over, whole) = server.asked[-2:]
    assert (at, now) == ("/api/v1/query", {"query": "one", "time": "60"})
    assert (over, whole) == ("/api/v1/query_range", {"query": "other", "start": "0", "end": "60", "step": "15"})


async def test_a_variable_without_values_is_a_fault_of_the_page() -> None:
    [found], _ = await ask(page(panel("up")), {"up": "1"}, route=[])
    assert found.problem == "nothing to choose from: route"


async def test_a_variable_that_can_not_be_read_is_a_fault() -> None:
    async def nothing(series: str, label: str) -> list[str]:
        raise AssertionError(series + label)

    wrong = {"name": "x", "type": "query", "query": {"query": "metrics(up)"}}
    with pytest.raises(PrometheusError, match="is not label_values"):
        await resolved({"templating": {"list": [wrong]}}, nothing)


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({}, ["a", "b"], ".+"),
        ({"allValue": ""}, ["a.b", "c"], r"(a\\.b|c)"),
        ({"allValue": None}, ["a"], "a"),
        ({"current": {"value": ["b"]}}, ["a", "b"], "b"),
        ({"current": {"value": ["a", "b"]}}, ["a", "b", "c"], "(a|b)"),
        ({"current": {"value": "b"}, "multi": False}, ["a", "b.c", "b"], "b"),
        ({"current": {"value": ["gone"]}}, ["a", "b"], ".+"),
        ({"current": {"value": ["gone"]}, "includeAll": False}, ["a", "b"], "a"),
        ({"current": {"value": []}, "includeAll": False}, ["a", "b"], "a"),
        ({"current": {"value": ""}, "includeAll": False, "multi": False}, ["b.c"], "b.c"),
    ],
)
def test_defaults_are_resolved_as_grafana_does(changes: dict[str, Any], options: list[str], expected: str) -> None:
    assert chosen({**LIST, **changes}, options) == expected


def test_a_rate_has_at_least_four_scrapes() -> None:
    assert built_in() == {"__interval": "15s", "__rate_interval": "60s", "__range": "3600s"}
    assert built_in(7 * 86_400)["__rate_interval"] == "620s"


def test_the_report_names_what_has_no_data() -> None:
    found = [
        Answer("feed", "Full", has_data=True),
        Answer("feed", "Empty", has_data=False, event=EVENT),
        Answer("kafka", "Wrong", has_data=False, problem="no data: up"),
    ]
    assert report(found).splitlines() == [
        "feed: 1 of 2 panels have data",
        "  event  Empty: until a file arrives",
        "kafka: 0 of 1 panels have data",
        "  FAULT  Wrong: no data: up",
    ]
