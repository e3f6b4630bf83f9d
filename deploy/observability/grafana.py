"""Provisioning of Grafana: data sources, dashboards and where they are.

Prometheus has the metrics, Jaeger the traces, Loki the logs. An exemplar leads to its trace, and so does a log line.
"""

import json
from collections.abc import Mapping

from deploy.observability.dashboards import DASHBOARDS
from deploy.observability.prometheus import written
from deploy.observability.rules import RUNBOOKS
from deploy.observability.timing import Timing

FOLDER = "/var/lib/feedmill-observability/grafana/dashboards"  # of the container, as in compose.yml
PROMETHEUS, TRACES, LOGS = "prometheus", "jaeger", "loki"
"""The fixed ids of the data sources."""


def files(timing: Timing, environ: Mapping[str, str]) -> dict[str, str]:
    """The files of Grafana, path → text. `FEEDMILL_RUNBOOKS_URL` is the base of the links to runbooks."""
    runbooks = environ.get("FEEDMILL_RUNBOOKS_URL", RUNBOOKS).rstrip("/")
    provider: dict[str, object] = {
        "name": "feedmill",
        "folder": "Feedmill",
        "type": "file",
        "options": {"path": FOLDER},
    }
    provider |= {"allowUiUpdates": False, "disableDeletion": True, "updateIntervalSeconds": 30}
    return {
        "grafana/provisioning/datasources/feedmill.yml": written(_datasources(timing)),
        "grafana/provisioning/dashboards/feedmill.yml": written({"apiVersion": 1, "providers": [provider]}),
        **{
            f"grafana/dashboards/{one.name}.json": json.dumps(one.as_json(runbooks), indent=2, ensure_ascii=False)
            + "\n"
            for one in DASHBOARDS
        },
    }


def _datasources(timing: Timing) -> dict[str, object]:
    metrics = {
        "httpMethod": "POST",
        "prometheusType": "Prometheus",
        # Grafana makes $__rate_interval from it: at least four scrapes, so that no rate is empty.
        "timeInterval": timing.scrape,
        "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": TRACES}],
    }
    traces = {
        "tracesToLogsV2": {
            "datasourceUid": LOGS,
            "spanStartTimeShift": "-5m",
            "spanEndTimeShift": "5m",
            "customQuery": True,
            "query": '{service_name=~".+"} | trace_id="$${__span.traceId}"',
        },
        "nodeGraph": {"enabled": True},
    }
    logs = {
        "derivedFields": [
            # Grafana replaces $name in these files by variables of the environment, and $$ by $.
            {
                "name": "trace_id",
                "matcherType": "label",  # the collector makes a label of it
                "matcherRegex": "trace_id",
                "datasourceUid": TRACES,
                "url": "$${__value.raw}",
            }
        ]
    }
    return {
        "apiVersion": 1,
        "prune": True,
        "datasources": [
            _datasource("Prometheus", PROMETHEUS, "http://prometheus:9090", metrics, is_default=True),
            _datasource("Jaeger", TRACES, "http://jaeger:16686", traces),
            _datasource("Loki", LOGS, "http://loki:3100", logs),
        ],
    }


def _datasource(
    name: str, kind: str, url: str, settings: Mapping[str, object], *, is_default: bool = False
) -> dict[str, object]:
    """A data source whose id is its kind."""
    return {
        "name": name,
        "uid": kind,
        "type": kind,
        "access": "proxy",
        "url": url,
        "isDefault": is_default,
        "editable": False,
        "jsonData": settings,
    }
