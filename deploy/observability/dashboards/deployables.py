"""One dashboard for each deployable, from its row in the table of deployables."""

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.observability.dashboards import panels
from deploy.observability.dashboards.model import Dashboard, Panel, Row, Target
from deploy.observability.dashboards.queries import rate, series
from libs.deployables import DEPLOYABLES, Deployable


@dataclass(frozen=True, slots=True)
class Asks:
    """What a deployable asks, besides its own store: Redis, caches of its own, other services."""

    stores: bool = False
    caches: bool = False
    services: bool = False


ASKS: Mapping[str, Asks] = {
    "user": Asks(stores=True, caches=True),
    "media": Asks(stores=True, caches=True),  # of services it needs only the keys of tokens, once
    "post": Asks(stores=True, caches=True, services=True),
    "interaction": Asks(stores=True, caches=True, services=True),
    "feed": Asks(stores=True, caches=True, services=True),
    "fanout": Asks(stores=True, services=True),
    "canary": Asks(stores=True, services=True),
}
"""A deployable without a row has the panels of its own store only."""


PUBLISHED_BY: Mapping[str, str] = {"fanout": "an author posts who has more followers than one chunk holds"}
"""Deployable → the event that makes it publish, if that is not any request."""


def dashboard(deployable: Deployable) -> Dashboard:
    """The dashboard of a deployable. It has only panels whose metrics the deployable exports."""
    is_service = deployable.port is not None
    rows = [_state(), *([panels.requests()] if is_service else []), _load(deployable)]
    if dependencies := _dependencies(ASKS.get(deployable.name, Asks(stores=deployable.store is not None))):
        rows.append(Row("Dependencies", dependencies))
    if events := _events(deployable):
        rows.append(Row("Events", events))
    return Dashboard(
        name=f"deployable-{deployable.name}",
        title=f"Feedmill: {deployable.name}",
        text=f"One deployable, {deployable.name}: what it answers, what it asks and what it takes from its machine.",
        tag="deployable",
        jobs=(deployable.name,),
        variables=(panels.ROUTE,) if is_service else (),
        rows=(*rows, panels.process()),
    )


def _state() -> Row:
    return Row(
        "State",
        (
            Panel(
                title="Instances",
                text="Instances that answer Prometheus. Compare it with the number that should run.",
                kind="stat",
                unit="short",
                targets=[Target(f"sum({series('up')})", "up")],
                width=6,
                height=4,
            ),
            Panel(
                title="Instances down",
                text="Instances that do not answer Prometheus. Normal is 0.",
                kind="stat",
                unit="short",
                targets=[Target(f"count({series('up')}) - sum({series('up')})", "down")],
                width=6,
                height=4,
            ),
            Panel(
                title="Youngest instance",
                text="Time since the last start of an instance. A value that stays small is a process that crashes.",
                kind="stat",
                unit="s",
                targets=[Target(f"time() - max({series('process_start_time_seconds')})", "age")],
                width=6,
                height=4,
            ),
            Panel(
                title="Largest instance",
                text="The resident memory of the largest instance.",
                kind="stat",
                unit="bytes",
                targets=[Target(f"max({series('process_resident_memory_bytes')})", "memory")],
                width=6,
                height=4,
            ),
        ),
    )


def _load(deployable: Deployable) -> Row:
    """What it does now. One that needs nothing has no readiness checks."""
    checks = [panels.checks()] if deployable.name in ASKS or deployable.store or deployable.consumes else []
    return Row("Load", (panels.in_flight(), panels.refused(), panels.pools(), *checks))


def _dependencies(asks: Asks) -> list[Panel]:
    found: list[Panel] = []
    if asks.stores:
        found += [panels.queries(), panels.statements()]
    if asks.services:
        found += [panels.calls(), panels.failed_calls()]
    if asks.stores or asks.services:
        found += [panels.breakers(), panels.not_called()]
    if asks.caches:
        found.append(panels.cache_hits())
    return found


def _events(deployable: Deployable) -> list[Panel]:
    found: list[Panel] = []
    if deployable.produces:
        found.append(panels.published(PUBLISHED_BY.get(deployable.name, panels.REQUESTS)))
    if deployable.store:
        found.append(panels.outbox())
    if deployable.consumes:
        found += [panels.handled(), panels.event_age(), panels.heartbeats(), _retries()]
    return found


def _retries() -> Panel:
    return Panel(
        title="Repeated batches",
        text="Batches per second that were repeated because a store or service was unavailable. Normal is 0.",
        unit="ops",
        targets=[Target(rate("feedmill_handler_retries_total", by="group"), "{{group}}")],
        event="a store or service fails while a batch is handled",
    )


DEPLOYABLE_DASHBOARDS = tuple(dashboard(one) for one in DEPLOYABLES)
