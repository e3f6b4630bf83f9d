"""The first page: is the system healthy, and which other page says more."""

from deploy.observability.dashboards.model import Dashboard, Limits, Panel, Row, Target
from deploy.observability.dashboards.panels import REQUESTS, SERVER_ERRORS
from deploy.observability.dashboards.queries import increase, quantile, rate, series, share, total
from deploy.observability.recorded import FEED_READS, GAVE_UP, OBJECTIVES

EDGE = "feedmill_gateway_request_seconds"
WAIT = "feedmill_gateway_upstream_seconds"
CREATE_POST = ('method="POST"', 'route="/v1/posts"')
LIKE = ('method="POST"', 'route="/v1/posts/{id}/like"')
WINDOWS = ("5m", "30m", "1h", "6h")
PERIOD = "30d"
BUDGETS = {one.name: one.budget for one in OBJECTIVES}
ALLOWED, ALLOWED_SLOW = BUDGETS["availability"], BUDGETS["feed_latency"]


def failed(window: str) -> str:
    """The share of requests that failed, or whose client waited for more than 3 s and gave up."""
    requests, gave_up = increase(f"{EDGE}_count", window), increase(f"{EDGE}_count", window, GAVE_UP)
    soon = increase(f"{EDGE}_bucket", window, GAVE_UP, 'le="3.0"')
    errors = increase(f"{EDGE}_count", window, SERVER_ERRORS)
    return f"{share(errors, requests)} + {share(f'({gave_up} - {soon})', requests)}"


def slow(window: str) -> str:
    """The share of feed pages that took more than 200 ms."""
    soon = increase(f"{EDGE}_bucket", window, FEED_READS, 'le="0.2"')
    return f"1 - {soon} / {increase(f'{EDGE}_count', window, FEED_READS)}"


SLO = Row(
    "Objective",
    (
        Panel(
            title="Availability",
            text="The share of requests without a server error or a time-out in the last hour. "
            f"The objective is {1 - ALLOWED:.1%} in {PERIOD}.",
            kind="stat",
            unit="percentunit",
            targets=[Target(f"1 - ({failed('1h')})", "1 h")],
            limits=Limits(1 - ALLOWED, 0.99),
            alerts=["ErrorBudgetBurn"],
            event=REQUESTS,
            width=4,
            height=6,
        ),
        Panel(
            title="Error budget left",
            text=f"What is left of the errors that the objective allows in {PERIOD}. "
            "Below 0 the objective is missed. Prometheus has to store that time.",
            kind="stat",
            unit="percentunit",
            targets=[Target(f"1 - ({failed(PERIOD)}) / {ALLOWED:g}", PERIOD)],
            limits=Limits(0.25, 0),
            alerts=["ErrorBudgetBurn"],
            event=REQUESTS,
            width=4,
            height=6,
        ),
        Panel(
            title="Burn rate",
            text="How fast the error budget is used: at 1 it lasts exactly for the period. "
            "Above 14.4 for an hour someone is paged.",
            unit="short",
            targets=[Target(f"({failed(window)}) / {ALLOWED:g}", window) for window in WINDOWS],
            limits=Limits(6, 14.4),
            alerts=["ErrorBudgetBurn"],
            event=REQUESTS,
            height=6,
        ),
        Panel(
            title="Burn rate of fast feed pages",
            text="How fast the budget of slow feed pages is used: at 1 it lasts exactly for the period. "
            f"{1 - ALLOWED_SLOW:.0%} of the pages must take less than 200 ms.",
            unit="short",
            targets=[Target(f"({slow(window)}) / {ALLOWED_SLOW:g}", window) for window in WINDOWS],
            limits=Limits(6, 14.4),
            alerts=["FeedLatencyBudgetBurn"],
            event=REQUESTS,
            height=6,
            detail="feed",
        ),
        Panel(
            title="Alerts",
            text="Alerts that fire or are about to. Normal is an empty table. "
            "The runbook of an alert has its name: FeedWrong has feed-wrong.md.",
            kind="table",
            unit="short",
            targets=[
                Target(
                    'count by (alertname, severity, alertstate, job) (ALERTS{severity!="watchdog"})', "{{alertname}}"
                )
            ],
            event="an alert fires",
            width=24,
            height=6,
        ),
    ),
)
TRAFFIC = Row(
    "Requests at the gateway",
    (
        Panel(
            title="Traffic",
            text="Requests per second by status. A sudden fall at an unusual hour means that clients fail.",
            unit="reqps",
            targets=[Target(rate(f"{EDGE}_count", by="status"), "{{status}}")],
            stacked=True,
            alerts=["TrafficDropped", "TrafficJumped"],
            event=REQUESTS,
            detail="gateway",
        ),
        Panel(
            title="Errors",
            text="The share of requests with a status of 500 or more. The objective is below 0.01 %; 1 % is critical.",
            unit="percentunit",
            targets=[Target(share(rate(f"{EDGE}_count", SERVER_ERRORS), rate(f"{EDGE}_count")), "5xx")],
            limits=Limits(0.001, 0.01),
            alerts=["ErrorRate"],
            event=REQUESTS,
            detail="gateway",
        ),
        Panel(
            title="Feed latency",
            text="How fast feed pages are sent. The objectives are 100 ms for half of them and 200 ms for 99 %.",
            unit="s",
            targets=[
                Target(quantile(0.5, EDGE, FEED_READS), "50 %"),
                Target(quantile(0.99, EDGE, FEED_READS), "99 %"),
            ],
            limits=Limits(0.3, 0.5),
            alerts=["FeedP99Slow", "FeedP50Slow"],
            event=REQUESTS,
            detail="feed",
        ),
        Panel(
            title="Post latency",
            text="The time until a new post is acknowledged, without its upload. The objective is 500 ms.",
            unit="s",
            targets=[
                Target(quantile(0.5, WAIT, *CREATE_POST), "50 %"),
                Target(quantile(0.99, WAIT, *CREATE_POST), "99 %"),
            ],
            limits=Limits(1, 3),
            alerts=["PostingSlow"],
            event=REQUESTS,
            detail="deployable-post",
        ),
        Panel(
            title="Like latency",
            text="The time until a like is acknowledged. The objective is 30 ms for 99 %.",
            unit="s",
            targets=[
                Target(quantile(0.5, EDGE, *LIKE), "50 %"),
                Target(quantile(0.99, EDGE, *LIKE), "99 %"),
            ],
            event=REQUESTS,
            detail="interactions",
        ),
        Panel(
            title="Active readers",
            text="How many people have read a feed within the last 5 minutes and the last 24 hours, as an estimate.",
            unit="short",
            targets=[Target(total(series("feedmill_feed_active_readers"), by="window", of="max"), "{{window}}")],
            detail="feed",
        ),
    ),
)
CLIENTS = Row(
    "Clients",
    (
        Panel(
            title="Devices",
            text="Requests per second by kind of device. One kind that falls alone points to a fault of that client.",
            unit="reqps",
            targets=[Target(rate("feedmill_requests_by_device_total", by="device"), "{{device}}")],
            width=6,
        ),
        Panel(
            title="Sessions",
            text="Sessions that can still be renewed. A sudden fall means that people were signed out.",
            unit="short",
            targets=[Target(total(series("feedmill_user_sessions"), of="max"), "sessions")],
            width=6,
            detail="deployable-user",
        ),
        Panel(
            title="Rate limits",
            text="Requests per second that a rate limit refused. Some are normal; many come from a script.",
            unit="reqps",
            targets=[Target(rate("feedmill_rate_limited_total", by="limit"), "{{limit}}")],
            event="a caller exceeds a rate limit",
            width=6,
        ),
        Panel(
            title="Requests that were not counted",
            text="Requests per second that no rate limit counted, because Redis was slow or unavailable. Normal is 0.",
            unit="reqps",
            targets=[Target(rate("feedmill_rate_uncounted_total", by="job, redis"), "{{job}}: {{redis}}")],
            alerts=["RateLimitsBlind"],
            width=6,
        ),
    ),
)
PIPELINE = Row(
    "Behind the requests",
    (
        Panel(
            title="Backpressure",
            text="0 is normal. 1: the fan-out is behind, 2: only active readers get lists, 3: all feeds are pulled.",
            kind="stat",
            unit="short",
            targets=[Target(total(series("feedmill_fanout_backpressure_level"), of="max"), "level")],
            names={"0": "normal", "1": "behind", "2": "active readers only", "3": "pull for all"},
            limits=Limits(1, 2),
            alerts=["FanoutBackpressure", "FanoutLag"],
            width=4,
            height=6,
            detail="fanout",
        ),
        Panel(
            title="Processes down",
            text="Deployables that do not answer Prometheus. Normal is 0.",
            kind="stat",
            unit="short",
            targets=[Target(f"count({series('up')}) - {total(series('up'))}", "down")],
            limits=Limits(1, 1),
            alerts=["ProcessDown", "ProcessAbsent"],
            width=4,
            height=6,
        ),
        Panel(
            title="Breakers open",
            text="Dependencies that processes do not ask any longer, because calls failed. Normal is 0.",
            kind="stat",
            unit="short",
            targets=[Target(total(series("feedmill_breaker_open")), "open")],
            limits=Limits(1, 1),
            alerts=["StoreAway", "BreakerOpen"],
            width=4,
            height=6,
            detail="stores",
        ),
        Panel(
            title="Dead letters",
            text="Messages that no consumer could handle. Normal is 0; each waits until a person replays or drops it.",
            kind="stat",
            unit="short",
            targets=[Target(total(series("feedmill_dead_letters_waiting")), "waiting")],
            limits=Limits(1, 1),
            alerts=["DeadLetterWaits"],
            width=4,
            height=6,
            detail="kafka",
        ),
        Panel(
            title="Last clean feed",
            text="Time since the oracle last found a feed without a fault. It looks every 30 s; 15 min is too long.",
            kind="stat",
            unit="s",
            targets=[Target(f"time() - {total(series('feedmill_oracle_last_clean_time_seconds'), of='max')}", "ago")],
            limits=Limits(900, 900),
            alerts=["CanaryStale"],
            width=4,
            height=6,
            detail="feed",
        ),
        Panel(
            title="Feed list delay",
            text="99 % of the posts are in the lists of their followers within this time. The objective is 30 s.",
            kind="stat",
            unit="s",
            targets=[Target(quantile(0.99, "feedmill_fanout_seconds"), "99 %")],
            limits=Limits(60, 300),
            alerts=["FanoutLate"],
            event=REQUESTS,
            width=4,
            height=6,
            detail="fanout",
        ),
        Panel(
            title="Oracle verdicts",
            text="Feeds per second that the oracle recomputed and compared. A faulty one is an error in the product.",
            unit="ops",
            targets=[Target(rate("feedmill_oracle_feeds_total", by="outcome"), "{{outcome}}")],
            alerts=["FeedWrong"],
            detail="feed",
        ),
        Panel(
            title="Consumer lag",
            text="Messages that consumer groups have not committed. Below 10,000 is normal, 100,000 is too much.",
            unit="short",
            targets=[Target(total(series("feedmill_consumer_lag_messages"), by="group"), "{{group}}")],
            limits=Limits(100_000, 1_000_000),
            alerts=["ConsumerLag"],
            detail="kafka",
        ),
        Panel(
            title="CPU by deployable",
            text="Cores that each deployable uses. One process uses one core at most.",
            unit="percentunit",
            targets=[Target(rate("process_cpu_seconds_total", by="job"), "{{job}}")],
        ),
    ),
)
OVERVIEW = Dashboard(
    name="overview",
    title="Feedmill: overview",
    text="Is the system healthy, and where to look next. Each panel leads to the dashboard with its details.",
    tag="overview",
    rows=(SLO, TRAFFIC, PIPELINE, CLIENTS),
)
