"""Dashboards as data, and the JSON that Grafana 11 and 12 read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from deploy.observability.rules import runbook
from deploy.observability.timing import SCRAPE_S

Json = dict[str, Any]
Kind = Literal["timeseries", "stat", "table", "heatmap"]

SCHEMA_VERSION = 39  # of Grafana 11.0; later versions migrate it when they load it
COLUMNS = 24
TAG = "feedmill"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
EVERYTHING = ".+"
"""What a variable stands for when All is chosen: never the empty string, which would match series without the label."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a panel turns yellow and red. If `red` is below `yellow`, small values are the bad ones.

    With equal figures nothing is yellow.
    """

    yellow: float
    red: float

    def steps(self) -> list[Json]:
        """The thresholds of Grafana: each color begins at its value."""
        if self.red < self.yellow:
            return [_step("red", None), _step("yellow", self.red), _step("green", self.yellow)]
        warning = [_step("yellow", self.yellow)] if self.yellow < self.red else []
        return [_step("green", None), *warning, _step("red", self.red)]


@dataclass(frozen=True, slots=True)
class Target:
    """An expression of PromQL, and how its series are called: `{{route}}` is the value of a label."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel is one picture.

    Args:
        text: what it shows, what is normal and what is not.
        unit: an id of Grafana, such as `s`, `reqps` or `percentunit`.
        limits: its figures are those of `alerts`.
        alerts: the alerts that fire when it is red. The panel links to their runbooks.
        event: what has to happen before the panel has data, if a healthy system without clients has none.
        width: of 24 columns.
        names: value → what is shown instead, such as "0" → "closed".
        detail: the name of the dashboard that shows more.
        stacked: the areas add up to a whole.
    """

    title: str
    text: str
    unit: str
    targets: Sequence[Target]
    kind: Kind = "timeseries"
    limits: Limits | None = None
    alerts: Sequence[str] = ()
    event: str = ""
    width: int = 8
    height: int = 8
    names: dict[str, str] = field(default_factory=dict)
    detail: str = ""
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it, from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A list from which one chooses series. Its values come from Prometheus, and All is chosen at first."""

    name: str
    label: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A dashboard is one page.

    Args:
        name: gives the fixed address `/d/feedmill-<name>`.
        tag: the menu that lists it.
        jobs: the deployables whose metrics it shows; empty for all.
        variables: besides `datasource`, `job` and `instance`.
    """

    name: str
    title: str
    text: str
    tag: Literal["overview", "area", "deployable"]
    rows: Sequence[Row]
    jobs: Sequence[str] = ()
    variables: Sequence[Variable] = ()

    @property
    def uid(self) -> str:
        """The fixed id, which addresses contain."""
        return uid(self.name)

    def panels(self) -> Iterator[Panel]:
        """All panels, in the order of the page."""
        for row in self.rows:
            yield from row.panels

    def as_json(self, runbooks: str) -> Json:
        """What Grafana reads. `runbooks` is the address below which people read docs/runbooks."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.text,
            "tags": [TAG, f"{TAG}-{self.tag}"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "graphTooltip": 1,  # the crosshair is in all panels at the same time
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "weekStart": "",
            "annotations": {"list": [_alerts_annotation()]},
            "links": [_menu("overview", "Overview"), _menu("area", "Areas"), _menu("deployable", "Deployables")],
            "templating": {"list": self._variables()},
            "panels": list(_laid_out(self.rows, runbooks)),
        }

    def _variables(self) -> list[Json]:
        jobs = f'{{job=~"{"|".join(self.jobs)}"}}' if self.jobs else ""
        # With a fixed list of jobs, All would also mean the others.
        job = _query_variable(Variable("job", "Job", f"label_values(up{jobs}, job)"), self.jobs)
        instance = Variable("instance", "Instance", 'label_values(up{job=~"$job"}, instance)')
        return [_datasource_variable(), job, *(_query_variable(one) for one in (instance, *self.variables))]


def uid(name: str) -> str:
    """The fixed id of the dashboard with this name."""
    return f"{TAG}-{name}"


def _step(color: str, value: float | None) -> Json:
    return {"color": color, "value": value}


def _menu(tag: str, title: str) -> Json:
    """A menu of the other dashboards with this tag. They open at the same time range."""
    return {
        "type": "dashboards",
        "title": title,
        "tags": [f"{TAG}-{tag}"],
        "asDropdown": True,
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def _alerts_annotation() -> Json:
    """Marks in all panels where an alert that wakes someone was firing."""
    return {
        "name": "Pages",
        "datasource": DATASOURCE,
        "enable": True,
        "expr": 'ALERTS{alertstate="firing",severity="page"}',
        "iconColor": "red",
        "titleFormat": "{{alertname}}",
        "textFormat": "{{job}} {{instance}}",
        "step": f"{4 * SCRAPE_S}s",
    }


def _datasource_variable() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"selected": True, "text": "Prometheus", "value": "prometheus"},
        "regex": "",
        "refresh": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
    }


def _query_variable(variable: Variable, chosen: Sequence[str] = ()) -> Json:
    """A list of the values of a label. All is chosen at first, or `chosen` where All can't be chosen."""
    current = list(chosen) or ["$__all"]
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": variable.query,
        "query": {"query": variable.query, "refId": f"variable-{variable.name}"},
        "current": {"selected": True, "text": list(chosen) or ["All"], "value": current},
        "multi": True,
        "includeAll": not chosen,
        "allValue": EVERYTHING,
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "regex": "",
        "hide": 0,
        "options": [],
    }


def _laid_out(rows: Sequence[Row], runbooks: str) -> Iterator[Json]:
    """Rows and panels with their places, from left to right and from top to bottom."""
    number, top = 1, 0
    for row in rows:
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        number, top, left, height = number + 1, top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, height = top + height, 0, 0
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            yield {"id": number, "gridPos": place, **_panel(panel, runbooks)}
            number, left, height = number + 1, left + panel.width, max(height, panel.height)
        top += height


def _panel(panel: Panel, runbooks: str) -> Json:
    steps = panel.limits.steps() if panel.limits else [_step("green", None)]
    mappings = {value: {"text": text, "index": index} for index, (value, text) in enumerate(panel.names.items())}
    description = f"{panel.text} There is no data until {panel.event}." if panel.event else panel.text
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": description,
        "datasource": DATASOURCE,
        "links": _links(panel, runbooks),
        "targets": [_target(panel, target, chr(ord("A") + index)) for index, target in enumerate(panel.targets)],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
                "mappings": [{"type": "value", "options": mappings}] if mappings else [],
                "custom": _custom(panel),
                **({"min": 0} if panel.kind == "timeseries" else {}),
                **({"max": 1} if panel.unit == "percentunit" and panel.stacked else {}),
            },
            "overrides": [],
        },
        "options": _options(panel),
        **({"transformations": [_WITHOUT_TIME]} if panel.kind == "table" else {}),
    }


_WITHOUT_TIME = {"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True}}}


def _links(panel: Panel, runbooks: str) -> list[Json]:
    found = [
        {"title": f"Runbook: {alert}", "url": f"{runbooks}/{runbook(alert)}", "targetBlank": True}
        for alert in panel.alerts
    ]
    if panel.detail:
        url = f"/d/{uid(panel.detail)}?${{__url_time_range}}"
        found.append({"title": f"Dashboard: {panel.detail}", "url": url, "targetBlank": False})
    return found


def _target(panel: Panel, target: Target, ref: str) -> Json:
    """An expression in the way that its panel reads it. Only lines over time have exemplars."""
    is_instant = panel.kind in ("stat", "table")
    formats = {"table": "table", "heatmap": "heatmap"}
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": target.expr,
        "legendFormat": target.legend,
        "instant": is_instant,
        "range": not is_instant,
        "exemplar": panel.kind in ("timeseries", "heatmap") and "_bucket{" in target.expr,
        "format": formats.get(panel.kind, "time_series"),
        "editorMode": "code",
    }


def _custom(panel: Panel) -> Json:
    """The part of the look that depends on the kind of the panel."""
    if panel.kind == "timeseries":
        return {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.limits else "off"},
        }
    if panel.kind == "heatmap":
        return {"scaleDistribution": {"type": "linear"}}
    return {"align": "auto", "filterable": True} if panel.kind == "table" else {}


def _options(panel: Panel) -> Json:
    match panel.kind:
        case "timeseries":
            return {
                "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull"]},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case "stat":
            return {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "background" if panel.limits else "value",
                "graphMode": "none",
                "textMode": "value_and_name" if len(panel.targets) > 1 else "auto",
                "justifyMode": "auto",
                "orientation": "auto",
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
        case "heatmap":
            return {
                "calculate": False,
                "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
                "cellValues": {"unit": "short"},
                "rowsFrame": {"layout": "auto"},
                "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64, "reverse": False},
                "legend": {"show": True},
                "tooltip": {"mode": "single", "yHistogram": True},
                "exemplars": {"color": "rgba(255,0,255,0.7)"},
            }
