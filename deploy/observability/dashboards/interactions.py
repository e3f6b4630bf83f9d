"""Likes, comments, saves and views, and the counts that follow from them."""

from deploy.observability.dashboards.model import Dashboard, Limits, Panel, Row, Target
from deploy.observability.dashboards.panels import HTTP, REQUESTS, SERVER_ERRORS, event_age, handled, heartbeats
from deploy.observability.dashboards.queries import quantile, rate, series, share, total

OWN = ('job="interaction"', 'route=~"/v1/.+"')

WRITES = Row(
    "Requests",
    (
        Panel(
            title="Requests by route",
            text="Requests per second of likes, comments, saves and views. They follow the feed reads.",
            unit="reqps",
            targets=[Target(rate(f"{HTTP}_count", *OWN, by="method, route"), "{{method}} {{route}}")],
            event=REQUESTS,
        ),
        Panel(
            title="Errors by route",
            text="The share of requests that fail with a server error. Normal is 0.",
            unit="percentunit",
            targets=[
                Target(
                    share(
                        rate(f"{HTTP}_count", *OWN, SERVER_ERRORS, by="method, route"),
                        rate(f"{HTTP}_count", *OWN, by="method, route"),
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
            text="99 % of the requests are answered within this time. The objective of a like is 30 ms.",
            unit="s",
            targets=[Target(quantile(0.99, HTTP, *OWN, by="method, route"), "{{method}} {{route}}")],
            event=REQUESTS,
        ),
    ),
)
COUNTS = Row(
    "Counts",
    (
        Panel(
            title="Memberships counted",
            text="Likes, comments, saves and views per second that changed a count. They follow the requests at once.",
            unit="ops",
            targets=[Target(rate("feedmill_counters_memberships_total", by="kind"), "{{kind}}")],
            event=REQUESTS,
        ),
        handled(),
        event_age(),
        Panel(
            title="Lag of the counters",
            text="Messages that the groups for counts have not committed. A line that rises for minutes is not normal.",
            unit="short",
            targets=[
                Target(
                    total(series("feedmill_consumer_lag_messages", 'group=~"counters|post-counts"'), by="group"),
                    "{{group}}",
                )
            ],
            limits=Limits(100_000, 1_000_000),
            alerts=["ConsumerLag"],
        ),
        heartbeats(),
        Panel(
            title="Comparisons",
            text="Users per second whose counts are compared with what they count. Drifted ones are corrected at once.",
            unit="ops",
            targets=[Target(rate("feedmill_reconcile_users_total", by="outcome"), "{{outcome}}")],
        ),
        Panel(
            title="Counts that drifted",
            text="Counts per second that were wrong, by the place that stores them. Normal is 0.",
            unit="ops",
            targets=[Target(rate("feedmill_reconcile_drift_total", by="place"), "{{place}}")],
            alerts=["CountsDrift"],
        ),
    ),
)
INTERACTIONS = Dashboard(
    name="interactions",
    title="Feedmill: interactions",
    text="Likes, comments, saves and views, how they are counted, and whether the counts are right.",
    tag="area",
    jobs=("interaction", "counters", "post", "canary"),
    rows=(WRITES, COUNTS),
)
