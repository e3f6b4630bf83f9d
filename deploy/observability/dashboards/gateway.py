"""What clients see: requests, the edge cache and connections of nginx."""

from deploy.observability.dashboards.model import Dashboard, Limits, Panel, Row, Target, Variable
from deploy.observability.dashboards.panels import IMAGES, OF_ROUTE, REQUESTS, SERVER_ERRORS
from deploy.observability.dashboards.queries import buckets, quantile, rate, series, share, total

EDGE = "feedmill_gateway_request_seconds"
WAIT = "feedmill_gateway_upstream_seconds"
CACHE = "feedmill_gateway_cache_total"
ACCEPTED = "feedmill_gateway_accepted_connections_total"
ROUTE = Variable("route", "Route", f'label_values({EDGE}_count{{job=~"$job"}}, route)')


EDGE_REQUESTS = Row(
    "Requests",
    (
        Panel(
            title="Requests by route",
            text="Requests per second by route. A sudden fall at an unusual hour means that clients fail.",
            unit="reqps",
            targets=[Target(rate(f"{EDGE}_count", OF_ROUTE, by="method, route"), "{{method}} {{route}}")],
            alerts=["TrafficDropped", "TrafficJumped"],
            event=REQUESTS,
        ),
        Panel(
            title="Requests by status",
            text="Requests per second by status. Some 4xx are normal; 499 are clients that did not wait.",
            unit="reqps",
            targets=[Target(rate(f"{EDGE}_count", OF_ROUTE, by="status"), "{{status}}")],
            event=REQUESTS,
        ),
        Panel(
            title="Errors by route",
            text="The share of requests with a status of 500 or more. The objective is below 0.01 %; 1 % is critical.",
            unit="percentunit",
            targets=[
                Target(
                    share(
                        rate(f"{EDGE}_count", OF_ROUTE, SERVER_ERRORS, by="route"),
                        rate(f"{EDGE}_count", OF_ROUTE, by="route"),
                    ),
                    "{{route}}",
                )
            ],
            limits=Limits(0.001, 0.01),
            alerts=["ErrorRate"],
            event=REQUESTS,
        ),
        Panel(
            title="99th percentile by route",
            text="99 % of the answers are sent within this time. Uploads depend on the client's connection.",
            unit="s",
            targets=[Target(quantile(0.99, EDGE, OF_ROUTE, by="route"), "{{route}}")],
            event=REQUESTS,
            width=12,
        ),
        Panel(
            title="Wait for services",
            text="Services answer 95 % of the requests within this time. The wait before a process that hangs counts.",
            unit="s",
            targets=[Target(quantile(0.95, WAIT, OF_ROUTE, by="route"), "{{route}}")],
            limits=Limits(0.5, 1),
            alerts=["SlowResponses"],
            event=REQUESTS,
            width=12,
        ),
        Panel(
            title="Duration of requests",
            text="How many requests took how long. A second band above the first is a slow service.",
            kind="heatmap",
            unit="s",
            targets=[Target(buckets(EDGE, OF_ROUTE), "{{le}}")],
            event=REQUESTS,
            width=12,
        ),
    ),
)
EDGE_CACHE = Row(
    "Edge cache",
    (
        Panel(
            title="Answers by outcome",
            text="Images per second from the cache, from the media service, and stale ones while it does not answer.",
            unit="reqps",
            targets=[Target(rate(CACHE, by="outcome"), "{{outcome}}")],
        ),
        Panel(
            title="Answers by kind",
            text="Images per second by size. Thumbnails and medium sizes are the most; originals are rare.",
            unit="reqps",
            targets=[Target(rate(CACHE, by="kind, outcome"), "{{kind}} {{outcome}}")],
        ),
        Panel(
            title="Hit ratio",
            text="Images from the cache, as a share of all. It should be above 95 %, and 90 % is too low.",
            unit="percentunit",
            targets=[Target(share(rate(CACHE, 'outcome=~"hit|stale"'), rate(CACHE)), "hits")],
            limits=Limits(0.9, 0.85),
            alerts=["EdgeCacheMisses"],
            event=IMAGES,
        ),
    ),
)
CONNECTIONS = Row(
    "nginx",
    (
        Panel(
            title="nginx",
            text="Whether nginx answers its observer. If it does not, clients see nothing at all.",
            kind="stat",
            unit="short",
            targets=[Target(total(series("feedmill_gateway_up"), of="min"), "nginx")],
            names={"0": "down", "1": "up"},
            limits=Limits(1, 0.5),
            alerts=["GatewayDown"],
            width=4,
        ),
        Panel(
            title="Connections",
            text="Connections of clients. Waiting ones are idle; many that write mean slow clients or slow answers.",
            unit="short",
            targets=[Target(total(series("feedmill_gateway_connections"), by="state"), "{{state}}")],
            width=10,
        ),
        Panel(
            title="New connections",
            text="Connections per second. All accepted ones are handled, unless nginx has no slot left.",
            unit="cps",
            targets=[Target(rate(ACCEPTED, by="outcome"), "{{outcome}}")],
            width=10,
        ),
        Panel(
            title="Log lines that were not counted",
            text="Lines per second that the observer could not parse or receive. Normal is 0.",
            unit="ops",
            targets=[Target(rate("feedmill_gateway_lines_unread_total", by="why"), "{{why}}")],
            alerts=["GatewayLinesUnread"],
        ),
    ),
)
GATEWAY = Dashboard(
    name="gateway",
    title="Feedmill: gateway",
    text="What clients see: rates, errors and durations at the gateway, the edge cache and connections.",
    tag="area",
    jobs=("gateway-metrics",),
    variables=(ROUTE,),
    rows=(EDGE_REQUESTS, EDGE_CACHE, CONNECTIONS),
)
