"""Recording rules: the ratios of the SLOs over all windows, sign-ups, and the lag of consumers by deployable."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.observability.timing import SCRAPE_S
from libs.deployables import DEPLOYABLES

FAILED_MINIMUM = 10
"""Failed requests in the window, below which no ratio alerts: with little traffic, one failure is a large share."""

GAVE_UP = 'status="499"'  # nginx: the client closed the connection before the answer
FEED_READS = 'method="GET",route="/v1/feed",status="200"'
_COUNT, _BUCKET = "feedmill_gateway_request_seconds_count", "feedmill_gateway_request_seconds_bucket"
_GIVEN_UP = f'sum(rate({_COUNT}{{{GAVE_UP}}}[WINDOW])) - sum(rate({_BUCKET}{{{GAVE_UP},le="3.0"}}[WINDOW]))'


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A recording rule, in PromQL with real times."""

    name: str
    expression: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A service level objective. `WINDOW` in an expression stands for each window.

    Args:
        name: the label `slo`.
        budget: the share of requests that may fail.
        requests: all requests per second.
        failed: failed requests per second.
        alert, what, text, source: of its burn alerts; see `Rule`.
    """

    name: str
    budget: float
    requests: str
    failed: str
    alert: str
    what: str
    text: str
    source: str


OBJECTIVES = (
    Objective(
        name="availability",
        budget=0.001,
        requests=f"sum(rate({_COUNT}[WINDOW]))",
        # A client that gave up within 3 s has navigated away. One that waited for longer saw a time-out.
        failed=f'(sum(rate({_COUNT}{{status=~"5.."}}[WINDOW])) or vector(0)) + ({_GIVEN_UP} or vector(0))',
        alert="ErrorBudgetBurn",
        what="Requests have failed",
        text="99.9 % of requests must succeed each month. The budget for failures is used up too fast.",
        source="SPEC §5 availability",
    ),
    Objective(
        name="feed_latency",
        budget=0.01,
        requests=f"sum(rate({_COUNT}{{{FEED_READS}}}[WINDOW]))",
        failed=f'sum(rate({_COUNT}{{{FEED_READS}}}[WINDOW])) - sum(rate({_BUCKET}{{{FEED_READS},le="0.2"}}[WINDOW]))',
        alert="FeedLatencyBudgetBurn",
        what="Feed pages have taken more than 200 ms",
        text="99 % of feed pages must take less than 200 ms. The budget for slow ones is used up too fast.",
        source="SPEC §5 feed latency",
    ),
)

WINDOWS = ("5m", "30m", "1h", "2h", "6h")
LONG_WINDOWS = ("1d", "3d")  # from the 5-minute rates, since all series over days would be slow to read


def _of(objective: Objective) -> list[Record]:
    labels = {"slo": objective.name}
    found = []
    for window in WINDOWS:
        for name, expression in (("requests", objective.requests), ("failed", objective.failed)):
            promql = f"{expression.replace('WINDOW', window)} or vector(0)"
            found.append(Record(name=f"slo:{name}:rate{window}", expression=promql, labels=labels))
    for window in LONG_WINDOWS:
        for name in ("requests", "failed"):
            # No average: when Prometheus is new, what came before counts as no requests.
            counted = f'sum_over_time(slo:{name}:rate5m{{slo="{objective.name}"}}[{window}]) * seconds({SCRAPE_S}s)'
            promql = f"{counted} / seconds({window})"
            found.append(Record(name=f"slo:{name}:rate{window}", expression=promql, labels=labels))
    for window in (*WINDOWS, *LONG_WINDOWS):
        failed, requests = (f'slo:{name}:rate{window}{{slo="{objective.name}"}}' for name in ("failed", "requests"))
        # Without requests it is 0 and never NaN: the smallest divisor is one request in 30 years.
        promql = f"{failed} / clamp_min({requests}, 1e-9)"
        found.append(Record(name=f"slo:failed_ratio:rate{window}", expression=promql, labels=labels))
    return found


def _lag(job: str, groups: Mapping[str, tuple[str, ...]]) -> Record:
    return Record(
        name="consumer:lag_messages",
        expression=f'max by (group) (feedmill_consumer_lag_messages{{group=~"{"|".join(groups)}"}})',
        labels={"job": job},
    )


_SIGN_UPS = 'feedmill_http_request_seconds_count{job="user",method="POST",route="/v1/auth/register",status="201"}'
RECORDS = (
    *(record for objective in OBJECTIVES for record in _of(objective)),
    Record(name="signups:increase1h", expression=f"sum(increase({_SIGN_UPS}[1h])) or vector(0)"),
    *(_lag(one.name, one.consumes) for one in DEPLOYABLES if one.consumes),
)
