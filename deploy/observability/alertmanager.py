"""The configuration of Alertmanager: who gets what, and which alert makes which others superfluous.

A silence on `page=<alert>` acknowledges a page: it covers the page and its escalation.
"""

from collections.abc import Mapping
from typing import Any

from deploy.observability.prometheus import written
from deploy.observability.rules import EVERY_STORE
from deploy.observability.timing import Timing

WEBHOOKS = {
    "on-call": "FEEDMILL_PAGER_URL",
    "tickets": "FEEDMILL_TICKET_URL",
    "escalation": "FEEDMILL_ESCALATION_URL",
    "watchdog": "FEEDMILL_WATCHDOG_URL",
}
"""Receiver → environment variable with the URL of its webhook."""
NONE = "none"
MINUTE, HOUR, DAY = 60, 3_600, 86_400


def files(timing: Timing, environ: Mapping[str, str]) -> dict[str, str]:
    """The file of Alertmanager, path → text."""

    def route(matcher: str, receiver: str, wait_s: float, repeat_s: float) -> dict[str, Any]:
        return {
            "matchers": [matcher],
            "receiver": receiver,
            "group_wait": timing.duration(wait_s),
            "repeat_interval": timing.duration(repeat_s),
        }

    configuration = {
        "route": {
            "receiver": NONE,
            "group_by": ["alertname", "job"],
            "group_interval": timing.duration(MINUTE),
            "routes": [
                # Not at once: an alert that inhibits others may fire some seconds after them.
                route('severity="page"', "on-call", 30, HOUR),
                route('severity="escalation"', "escalation", 30, HOUR),
                route('severity="ticket"', "tickets", 5 * MINUTE, DAY),
                route('severity="watchdog"', "watchdog", 1, MINUTE),
            ],
        },
        "inhibit_rules": _inhibitions(),
        "receivers": [{"name": NONE}, *(_receiver(name, environ.get(key)) for name, key in WEBHOOKS.items())],
    }
    return {"alertmanager/alertmanager.yml": written(configuration)}


def missing(environ: Mapping[str, str]) -> list[str]:
    """The variables without a URL. Their receivers exist, but send nothing."""
    return [key for key in WEBHOOKS.values() if not environ.get(key)]


def _receiver(name: str, url: str | None) -> dict[str, Any]:
    return {"name": name, "webhook_configs": [{"url": url, "send_resolved": True}]} if url else {"name": name}


def _inhibitions() -> list[dict[str, Any]]:
    """Which alert inhibits which. Targets are named by `page`, so that an inhibited page does not escalate either."""

    def inhibit(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
        return {"source_matchers": source, "target_matchers": target, "equal": equal}

    return [
        *(
            inhibit(['alertname="StoreAway"', f'store="{store}"'], [f'stores=~"(.* )?{store}( .*)?"'], [])
            for store in EVERY_STORE
        ),
        inhibit(['alertname="GatewayDown"'], ['stores=~".+"'], []),
        inhibit(['alertname="ProcessDown"', 'severity="page"'], ['page=~"WorkerDown|ConsumerStuck"'], ["job"]),
        inhibit(['alertname="FanoutLag"', 'severity="page"'], ['page="ConsumerLag"'], ["job"]),
        inhibit(['severity="page"'], ['severity="ticket"'], ["alertname", "job", "group"]),
        inhibit(['severity="ticket"'], ['severity="info"'], ["alertname", "job", "group"]),
    ]
