"""Writing posts into the feed lists of followers."""

from deploy.observability.dashboards.model import Dashboard, Limits, Panel, Row, Target
from deploy.observability.dashboards.panels import REQUESTS, event_age, handled, heartbeats
from deploy.observability.dashboards.queries import buckets, quantile, rate, series, total

DELAY = "feedmill_fanout_seconds"

DELIVERY = Row(
    "Delivery",
    (
        Panel(
            title="Posts by mode",
            text="Posts per second: pushed, pushed slowly, pulled by readers, or skipped. Normally none is skipped.",
            unit="ops",
            targets=[Target(rate("feedmill_fanout_posts_total", by="mode"), "{{mode}}")],
        ),
        Panel(
            title="Feed entries written",
            text="Entries per second written to and removed from lists. One post gives one entry for each follower.",
            unit="wps",
            targets=[
                Target(rate("feedmill_fanout_deliveries_total"), "written"),
                Target(rate("feedmill_fanout_removals_total"), "removed"),
            ],
        ),
        Panel(
            title="Delay until all lists have a post",
            text="From the creation of a post to the last list. The objective is 30 s for 99 %, and 2 s is usual.",
            unit="s",
            targets=[
                Target(quantile(0.5, DELAY, by="lane"), "50 % {{lane}}"),
                Target(quantile(0.99, DELAY, by="lane"), "99 % {{lane}}"),
            ],
            limits=Limits(60, 300),
            alerts=["FanoutLate"],
            event=REQUESTS,
        ),
        Panel(
            title="Delay, all of it",
            text="How many posts took how long. A long tail comes from authors with many followers.",
            kind="heatmap",
            unit="s",
            targets=[Target(buckets(DELAY), "{{le}}")],
        ),
        Panel(
            title="Followers of pushed authors",
            text="How many followers authors have whose posts are pushed. The push threshold is the upper bound.",
            unit="short",
            targets=[
                Target(quantile(0.5, "feedmill_fanout_followers"), "50 %"),
                Target(quantile(0.99, "feedmill_fanout_followers"), "99 %"),
            ],
            event=REQUESTS,
        ),
        event_age(),
    ),
)
BACKPRESSURE = Row(
    "Backpressure",
    (
        Panel(
            title="Level",
            text="0 is normal. 1: the fan-out is behind, 2: only active readers get lists, 3: all feeds are pulled.",
            unit="short",
            targets=[
                Target(total(series("feedmill_fanout_backpressure_level"), by="instance", of="max"), "{{instance}}")
            ],
            limits=Limits(1, 2),
            alerts=["FanoutBackpressure", "FanoutLag"],
        ),
        Panel(
            title="Messages not committed",
            text="The lag from which the level follows: 1 above 100,000 messages, 2 above 500,000, 3 above 1,000,000.",
            unit="short",
            targets=[Target(total(series("feedmill_fanout_lag_messages"), of="max"), "lag")],
            limits=Limits(100_000, 1_000_000),
            alerts=["ConsumerLag"],
        ),
        Panel(
            title="Skipped work",
            text="Lists of inactive readers, posts and deletes that backpressure skipped. Normal is 0.",
            unit="ops",
            targets=[Target(rate("feedmill_fanout_skipped_total", by="level, what"), "level {{level}}: {{what}}")],
        ),
    ),
)
CONSUMERS = Row(
    "Consumers",
    (
        handled(),
        Panel(
            title="Lag of the fan-out groups",
            text="Messages that a group has not committed. A line that rises for minutes means too few workers.",
            unit="short",
            targets=[
                Target(total(series("feedmill_consumer_lag_messages", 'group=~"fanout.*"'), by="group"), "{{group}}")
            ],
            limits=Limits(100_000, 1_000_000),
            alerts=["ConsumerLag"],
        ),
        heartbeats(),
    ),
)
FANOUT = Dashboard(
    name="fanout",
    title="Feedmill: fan-out",
    text="How posts reach the lists of followers, and what is skipped under backpressure.",
    tag="area",
    jobs=("fanout", "canary"),
    rows=(DELIVERY, BACKPRESSURE, CONSUMERS),
)
