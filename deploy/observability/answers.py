"""Asks Prometheus what the panels of dashboards ask, as Grafana does when somebody opens the page."""

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from deploy.observability.dashboards.model import Dashboard, Panel
from deploy.observability.lint import Json, panels, variables
from deploy.observability.promql import with_variables
from deploy.observability.timing import SCRAPE_S

RANGE_S = 3600  # of a page
POINTS = 1000  # across a panel
ALL = "$__all"
ASK_TIMEOUT_S = 30.0
_LABEL_VALUES = re.compile(r"label_values\((.+),\s*(\w+)\)")
_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}]")

Values = Callable[[str, str], Awaitable[Sequence[str]]]
"""Return the values of a label: (series, label) → values."""


class PrometheusError(Exception):
    """Prometheus does not answer, or refuses an expression."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one panel shows. `problem` is empty if it shows what it should."""

    dashboard: str
    panel: str
    has_data: bool
    event: str = ""
    problem: str = ""


class Prometheus:
    """The HTTP interface of a Prometheus."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def label_values(self, series: str, label: str) -> list[str]:
        """The values of a label in series that a selector chooses. Raises PrometheusError."""
        found: list[str] = await self._get(f"/api/v1/label/{label}/values", {"match[]": series})
        return found

    async def has_data(self, expression: str, since: float, until: float, *, instant: bool) -> bool:
        """True if there is a number that is not NaN between two times, or with `instant` at the second.

        Raises:
            PrometheusError: the expression is not valid.
        """
        if instant:
            samples = [value for _, value in await self.now(expression, until)]
        else:
            asked = {"query": expression, "start": since, "end": until, "step": SCRAPE_S}
            found = await self._get("/api/v1/query_range", asked)
            samples = [float(value) for one in found["result"] for _, value in one["values"]]
        return not all(map(math.isnan, samples))

    async def firing(self) -> list[dict[str, str]]:
        """The labels of each alert that fires."""
        alerts = (await self._get("/api/v1/alerts", {}))["alerts"]
        return [one["labels"] for one in alerts if one["state"] == "firing"]

    async def now(self, expression: str, at: float) -> list[tuple[dict[str, str], float]]:
        """The labels and value of each series at this Unix time. Raises PrometheusError."""
        found = await self._get("/api/v1/query", {"query": expression, "time": at})
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    async def _get(self, path: str, params: Mapping[str, Any]) -> Any:
        try:
            answer = (await self._http.get(path, params=params)).json()
        except (httpx2.HTTPError, ValueError) as error:
            raise PrometheusError(repr(error)) from error
        if answer["status"] != "success":
            raise PrometheusError(answer["error"])
        return answer["data"]


def built_in(range_s: int = RANGE_S) -> dict[str, str]:
    """The variables of Grafana that have to do with time, for a page of this range."""
    interval_s = max(SCRAPE_S, math.ceil(range_s / POINTS))
    return {
        "__interval": f"{interval_s}s",
        "__rate_interval": f"{max(interval_s + SCRAPE_S, 4 * SCRAPE_S)}s",
        "__range": f"{range_s}s",
    }


def chosen(variable: Json, options: Sequence[str]) -> str:
    """What Grafana puts in place of a variable when the page opens.

    All is `allValue`, else all options. A choice that is no option is replaced by All, else by the first option.
    """
    value = variable["current"]["value"]
    selected = [one for one in ([value] if isinstance(value, str) else value) if one == ALL or one in options]
    if not selected:
        selected = [ALL] if variable["includeAll"] else list(options[:1])
    if selected == [ALL]:
        if variable["allValue"]:
            return str(variable["allValue"])
        selected = list(options)
    if not variable["multi"]:
        return "".join(selected)
    # a backslash is doubled because it stands inside of a string of PromQL
    written = [_SPECIAL.sub(lambda found: rf"\\{found[0]}", one) for one in selected]
    return written[0] if len(written) == 1 else f"({'|'.join(written)})"


async def resolved(page: Json, ask: Values) -> dict[str, str]:
    """The values of all variables of a page at their defaults, in the order in which they depend on one another.

    Raises:
        PrometheusError: a variable can't be asked for, or has nothing to choose from.
    """
    values = built_in()
    for variable in variables(page):
        if variable["type"] != "query":
            continue
        found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
        if found is None:
            raise PrometheusError(f"{variable['query']['query']} is not label_values(series, label)")
        options = await ask(with_variables(found[1], values), found[2])
        if not options:
            raise PrometheusError(f"nothing to choose from: {variable['name']}")
        values[variable["name"]] = chosen(variable, options)
    return values


async def answers(
    prometheus: Prometheus, dashboard: Dashboard, since: float, until: float, expected: Sequence[str] = ()
) -> list[Answer]:
    """What each panel of a dashboard shows of the time between two moments.

    A panel without an event must have data, and one whose event is `expected`, too.
    """
    page = dashboard.as_json("")
    try:
        values = await resolved(page, prometheus.label_values)
    except PrometheusError as error:
        return [Answer(dashboard.name, "variables", has_data=False, problem=str(error))]
    pairs = zip(dashboard.panels(), panels(page), strict=True)
    return [await _answer(prometheus, dashboard, one, json, values, since, until, expected) for one, json in pairs]


async def _answer(
    prometheus: Prometheus,
    dashboard: Dashboard,
    panel: Panel,
    shown: Json,
    values: Mapping[str, str],
    since: float,
    until: float,
    expected: Sequence[str],
) -> Answer:
    empty: list[str] = []
    for target in shown["targets"]:
        expression = with_variables(target["expr"], values)
        try:
            found = await prometheus.has_data(expression, since, until, instant=target["instant"])
        except PrometheusError as error:
            return Answer(
                dashboard.name, panel.title, has_data=False, event=panel.event, problem=f"{error}: {expression}"
            )
        if not found:
            empty.append(expression)
    must = not panel.event or panel.event in expected
    problem = f"no data: {'; '.join(empty)}" if empty and must else ""
    return Answer(dashboard.name, panel.title, has_data=not empty, event=panel.event, problem=problem)
