"""Panels that several dashboards have, and the events that fill panels."""

from deploy.observability.dashboards.model import Limits, Panel, Row, Target, Variable
from deploy.observability.dashboards.queries import quantile, rate, series, share, total

REQUESTS = "clients send requests"
IMAGES = "clients fetch images"
CLIENTS = (REQUESTS, IMAGES)
"""The events of panels that are empty while no client does anything. The load of `make check-dashboards` fills them."""

HTTP = "feedmill_http_request_seconds"
QUERY = "feedmill_query_seconds"
CALL = "feedmill_call_seconds"
ROUTE = Variable("route", "Route", f'label_values({HTTP}_count{{job=~"$job"}}, route)')
OF_ROUTE = 'route=~"$route"'
SERVER_ERRORS = 'status=~"5.."'
CORES = "100 % is one core."


def requests() -> Row:
    """Rate, errors and duration for each route template of a service."""
    return Row(
        "Requests",
        (
            Panel(
                title="Requests by route",
                text="Requests per second of each route. A sudden fall with the same number of clients is not normal.",
                unit="reqps",
                targets=[Target(rate(f"{HTTP}_count", OF_ROUTE, by="method, route"), "{{method}} {{route}}")],
                event=REQUESTS,
            ),
            Panel(
                title="Errors by route",
                text="The share of answers with a status of 500 or more. Normal is 0; above 1 % is critical.",
                unit="percentunit",
                targets=[
                    Target(
                        share(
                            rate(f"{HTTP}_count", OF_ROUTE, SERVER_ERRORS, by="method, route"),
                            rate(f"{HTTP}_count", OF_ROUTE, by="method, route"),
                        ),
                        "{{method}} {{route}}",
                    )
                ],
                limits=Limits(0.001, 0.01),
                alerts=["ErrorRate"],
                event=REQUESTS,
            ),
            Panel(
                title="99th percentile by route",
                text="99 % of the requests are answered within this time. Look at a route that leaves its usual band.",
                unit="s",
                targets=[Target(quantile(0.99, HTTP, OF_ROUTE, by="method, route"), "{{method}} {{route}}")],
                event=REQUESTS,
            ),
        ),
    )


def in_flight() -> Panel:
    """What a process does now."""
    return Panel(
        title="Requests in flight",
        text="Requests that are being answered. It follows the traffic; a line that only rises means a jam.",
        unit="short",
        targets=[Target(total(series("feedmill_http_requests_in_flight"), by="instance"), "{{instance}}")],
        width=6,
    )


def refused() -> Panel:
    """What a process does not accept."""
    return Panel(
        title="Requests refused",
        text="Requests refused before any work, because the process is full or a deadline passed. Normal is 0.",
        unit="reqps",
        targets=[Target(rate("feedmill_http_refused_total", by="instance"), "{{instance}}")],
        width=6,
    )


def checks() -> Panel:
    """Whether a process says that it is ready."""
    return Panel(
        title="Readiness checks",
        text="1 for each check that passes. While one is 0, the process gets no requests.",
        unit="short",
        targets=[Target(total(series("feedmill_check_passed"), by="job, check", of="min"), "{{job}} {{check}}")],
        alerts=["CheckFailing"],
        width=6,
    )


def statements() -> Panel:
    """The slowest statements of a process."""
    return Panel(
        title="99th percentile of queries",
        text="99 % of the queries end within this time. Redis needs a few ms, the others some tens of ms.",
        unit="s",
        targets=[Target(quantile(0.99, QUERY, by="store, statement"), "{{store}} {{statement}}")],
        event=REQUESTS,
    )


def queries() -> Panel:
    """How many queries a process sends."""
    return Panel(
        title="Queries by store",
        text="Queries per second. They rise and fall with the requests; many more for each request mean cold caches.",
        unit="ops",
        targets=[Target(rate(f"{QUERY}_count", by="store"), "{{store}}")],
        event=REQUESTS,
    )


def pools() -> Panel:
    """How full the pools are."""
    return Panel(
        title="Pools in use",
        text="The share of the slots of a pool that is in use. Above 80 % callers soon wait for a slot.",
        unit="percentunit",
        targets=[
            Target(
                f"{total(series('feedmill_pool_in_use'), by='job, pool')}"
                f" / {total(series('feedmill_pool_size'), by='job, pool')}",
                "{{job}} {{pool}}",
            )
        ],
        alerts=["PoolFull"],
        width=6,
    )


def breakers() -> Panel:
    """Circuit breakers that are open."""
    return Panel(
        title="Circuit breakers",
        text="1 while a breaker is open: the dependency failed, and calls to it fail at once. Normal is 0.",
        unit="short",
        targets=[
            Target(total(series("feedmill_breaker_open"), by="job, dependency", of="max"), "{{job}} → {{dependency}}")
        ],
        limits=Limits(1, 1),
        alerts=["StoreAway", "BreakerOpen"],
    )


def not_called() -> Panel:
    """Calls that were refused before they were made."""
    return Panel(
        title="Calls that were not made",
        text="Refused by an open breaker, the retry budget, a share, a queue or a timeout. Normal is 0.",
        unit="ops",
        targets=[
            Target(rate("feedmill_dependency_refused_total", by="job, dependency, why"), "{{dependency}}: {{why}}"),
            Target(rate("feedmill_gate_refused_total", by="job, gate, why"), "{{gate}}: {{why}}"),
        ],
        event="a dependency is unavailable or overloaded",
    )


def calls() -> Panel:
    """How long the services that a process asks need."""
    return Panel(
        title="99th percentile of calls",
        text="99 % of the calls to another service end within this time, retries included. Usually tens of ms.",
        unit="s",
        targets=[Target(quantile(0.99, CALL, by="service"), "{{service}}")],
        event=REQUESTS,
    )


def failed_calls() -> Panel:
    """The share of calls that fail."""
    return Panel(
        title="Failed calls",
        text="The share of calls to another service without an answer, after all retries. Normal is 0.",
        unit="percentunit",
        targets=[
            Target(
                share(rate(f"{CALL}_count", 'outcome="failed"', by="service"), rate(f"{CALL}_count", by="service")),
                "{{service}}",
            )
        ],
        event=REQUESTS,
    )


def cache_hits() -> Panel:
    """How often a cache has what is looked up."""
    return Panel(
        title="Cache hit ratio",
        text="The share of lookups that a cache answers. It is lower while caches are cold, else steady.",
        unit="percentunit",
        targets=[
            Target(
                share(
                    rate("feedmill_cache_reads_total", 'outcome="hit"', by="job, cache"),
                    rate("feedmill_cache_reads_total", by="job, cache"),
                ),
                "{{job}} {{cache}}",
            )
        ],
        event=REQUESTS,
    )


def published(event: str) -> Panel:
    """Events that a process sends. `event` makes it send the first one."""
    return Panel(
        title="Events published",
        text="Events per second. Nearly all go directly; those of the relay waited for Kafka or for a crashed process.",
        unit="ops",
        targets=[Target(rate("feedmill_events_published_total", by="topic, via"), "{{topic}} {{via}}")],
        event=event,
    )


def outbox() -> Panel:
    """The age of the oldest event that is not in Kafka yet."""
    return Panel(
        title="Oldest event in the outbox",
        text="How long the oldest event has waited for the relay. Normal is 0; it rises while Kafka is unavailable.",
        unit="s",
        targets=[Target(total(series("feedmill_outbox_oldest_seconds"), by="job", of="max"), "{{job}}")],
        limits=Limits(60, 300),
        alerts=["OutboxWaiting"],
    )


def handled() -> Panel:
    """Events that a process has worked off."""
    return Panel(
        title="Events handled",
        text="Events per second that a consumer group finished. Each dead letter needs a person.",
        unit="ops",
        targets=[Target(rate("feedmill_events_handled_total", by="group, outcome"), "{{group}} {{outcome}}")],
        event=REQUESTS,
    )


def event_age() -> Panel:
    """How late a process handles events."""
    return Panel(
        title="99th percentile of the age of events",
        text="99 % of the events are finished at this age. It is normally below 2 s, and rises when a consumer lags.",
        unit="s",
        targets=[Target(quantile(0.99, "feedmill_event_age_seconds", by="group"), "{{group}}")],
        event=REQUESTS,
    )


def heartbeats() -> Panel:
    """Whether the loops of consumers still turn."""
    return Panel(
        title="Heartbeat of consumers",
        text="Seconds since the loop of a consumer last looked for events. Normal is below 10 s, also without events.",
        unit="s",
        targets=[
            Target(
                f"time() - {total(series('feedmill_worker_heartbeat_time_seconds'), by='job, group', of='min')}",
                "{{job}} {{group}}",
            )
        ],
        limits=Limits(90, 90),
        alerts=["WorkerDown"],
    )


def process() -> Row:
    """What the process takes from its machine."""
    return Row(
        "Process",
        (
            Panel(
                title="CPU",
                text=f"{CORES} A process that stays near it answers late, because it uses one core at most.",
                unit="percentunit",
                targets=[Target(rate("process_cpu_seconds_total", by="instance"), "{{instance}}")],
                width=6,
            ),
            Panel(
                title="Memory",
                text="Resident memory. It becomes level some minutes after the start; a steady rise is a leak.",
                unit="bytes",
                targets=[Target(total(series("process_resident_memory_bytes"), by="instance"), "{{instance}}")],
                width=6,
            ),
            Panel(
                title="File descriptors",
                text="The share of the allowed file descriptors that is open. Above 80 % connections soon fail.",
                unit="percentunit",
                targets=[
                    Target(
                        f"{total(series('process_open_fds'), by='instance')}"
                        f" / {total(series('process_max_fds'), by='instance')}",
                        "{{instance}}",
                    )
                ],
                width=6,
            ),
            Panel(
                title="Garbage collections",
                text="Collections per second by generation. Many of generation 2 cost time; normal is less than one.",
                unit="ops",
                targets=[Target(rate("python_gc_collections_total", by="generation"), "generation {{generation}}")],
                width=6,
            ),
        ),
    )
