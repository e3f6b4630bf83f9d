"""Reading the feed."""

from deploy.observability.dashboards.model import Dashboard, Limits, Panel, Row, Target
from deploy.observability.dashboards.panels import HTTP, REQUESTS, SERVER_ERRORS, cache_hits, calls, failed_calls
from deploy.observability.dashboards.queries import buckets, quantile, rate, series, share, total

ROUTE = 'route="/v1/feed"'
PAGE = "feedmill_feed_page_seconds"
READS = "feedmill_feed_reads_total"

PAGES = Row(
    "Feed pages",
    (
        Panel(
            title="Feed pages",
            text="Pages per second by order. It follows the number of active readers.",
            unit="reqps",
            targets=[Target(rate(READS, by="order"), "{{order}}")],
            event=REQUESTS,
        ),
        Panel(
            title="Errors of the feed",
            text="The share of feed requests that fail. Normal is 0: without Redis or ranking a page is only degraded.",
            unit="percentunit",
            targets=[
                Target(
                    share(rate(f"{HTTP}_count", ROUTE, SERVER_ERRORS), rate(f"{HTTP}_count", ROUTE)),
                    "5xx",
                )
            ],
            limits=Limits(0.001, 0.01),
            alerts=["ErrorRate"],
            event=REQUESTS,
        ),
        Panel(
            title="Feed latency",
            text="The time to answer a feed request. The objectives are 100 ms for half of them and 200 ms for 99 %.",
            unit="s",
            targets=[
                Target(quantile(0.5, HTTP, ROUTE), "50 %"),
                Target(quantile(0.95, HTTP, ROUTE), "95 %"),
                Target(quantile(0.99, HTTP, ROUTE), "99 %"),
            ],
            limits=Limits(0.3, 0.5),
            alerts=["FeedP99Slow", "FeedP50Slow"],
            event=REQUESTS,
        ),
        Panel(
            title="Feed latency, all of it",
            text="How many requests took how long. A second band above the first is a slow dependency or a cold cache.",
            kind="heatmap",
            unit="s",
            targets=[Target(buckets(HTTP, ROUTE), "{{le}}")],
            event=REQUESTS,
        ),
        Panel(
            title="Time to make a page",
            text="99 % of the pages are made within this time: 20 ms with a cached page, 100 ms without.",
            unit="s",
            targets=[Target(quantile(0.99, PAGE, by="cache"), "{{cache}}")],
            event=REQUESTS,
        ),
        Panel(
            title="Degraded pages",
            text="The share of pages that lack something, such as ranking or an author. Normal is 0.",
            unit="percentunit",
            targets=[Target(share(rate(READS, 'quality="degraded"'), rate(READS)), "degraded")],
            event=REQUESTS,
        ),
    ),
)
CACHES = Row(
    "Caches and readers",
    (
        Panel(
            title="Pages by cache status",
            text="Where pages come from. Many more misses than usual mean that Redis lost data, or many new readers.",
            unit="reqps",
            targets=[Target(rate(READS, by="cache"), "{{cache}}")],
            stacked=True,
            event=REQUESTS,
        ),
        cache_hits(),
        Panel(
            title="Active readers",
            text="How many people have read a feed within 5 minutes and 24 hours, as an estimate.",
            unit="short",
            targets=[Target(total(series("feedmill_feed_active_readers"), by="window", of="max"), "{{window}}")],
        ),
        Panel(
            title="Renewed pages and rebuilt lists",
            text="Pages renewed before they expire, and lists rebuilt after Redis lost data. Normal is no list.",
            unit="ops",
            targets=[
                Target(rate("feedmill_feed_pages_warmed_total"), "pages"),
                Target(rate("feedmill_feed_lists_warmed_total"), "lists"),
            ],
        ),
        calls(),
        failed_calls(),
    ),
)
PROOF = Row(
    "Oracle",
    (
        Panel(
            title="Verdicts",
            text="Feeds that the oracle recomputed and compared. A faulty one is an error in the product.",
            unit="ops",
            targets=[Target(rate("feedmill_oracle_feeds_total", by="outcome"), "{{outcome}}")],
            alerts=["FeedWrong"],
        ),
        Panel(
            title="Faults",
            text="Items of feeds that are wrong, by the kind of fault. Normal is 0, and a leaked item is the worst.",
            unit="ops",
            targets=[Target(rate("feedmill_oracle_faults_total", by="fault"), "{{fault}}")],
            alerts=["FeedWrong"],
        ),
        Panel(
            title="Last clean feed",
            text="Time since the oracle last found a feed without a fault. It looks every 30 s.",
            unit="s",
            targets=[Target(f"time() - {total(series('feedmill_oracle_last_clean_time_seconds'), of='max')}", "ago")],
            limits=Limits(900, 900),
            alerts=["CanaryStale"],
        ),
    ),
)
FEED = Dashboard(
    name="feed",
    title="Feedmill: feed",
    text="How fast and how right the feed is.",
    tag="area",
    jobs=("feed", "canary"),
    rows=(PAGES, CACHES, PROOF),
)
