"""Events: published, waiting, handled, and dead letters."""

from deploy.observability.dashboards.model import Dashboard, Limits, Panel, Row, Target, Variable
from deploy.observability.dashboards.panels import REQUESTS, heartbeats, outbox
from deploy.observability.dashboards.queries import buckets, quantile, rate, series, total

LAG = "feedmill_consumer_lag_messages"
AGE = "feedmill_event_age_seconds"
GROUP = Variable("group", "Consumer group", f"label_values({LAG}, group)")
OF_GROUP = 'group=~"$group"'

PUBLISHED = Row(
    "Published",
    (
        Panel(
            title="Events published by topic",
            text="Events per second that the brokers confirmed. They follow the writes of clients.",
            unit="ops",
            targets=[Target(rate("feedmill_events_published_total", by="topic"), "{{topic}}")],
            event=REQUESTS,
        ),
        Panel(
            title="Direct or by the relay",
            text="Nearly all events go directly. Those of the relay waited for Kafka or for a process that crashed.",
            unit="ops",
            targets=[Target(rate("feedmill_events_published_total", by="via"), "{{via}}")],
            event=REQUESTS,
        ),
        Panel(
            title="Events in the outbox",
            text="Committed events that Kafka does not have yet. Normal is 0; it grows while Kafka is unavailable.",
            unit="short",
            targets=[Target(total(series("feedmill_outbox_waiting"), by="job", of="max"), "{{job}}")],
            alerts=["OutboxWaiting"],
        ),
        outbox(),
        Panel(
            title="Brokers",
            text="1 while the brokers answer the canary. At 0 writes are accepted, and events wait in the outbox.",
            kind="stat",
            unit="short",
            targets=[Target(total(series("feedmill_kafka_up"), of="min"), "brokers")],
            names={"0": "down", "1": "up"},
            limits=Limits(1, 0.5),
            alerts=["StoreAway"],
        ),
        Panel(
            title="Dead letters",
            text="Messages that no consumer could handle. Normal is 0; each waits until a person replays or drops it.",
            unit="short",
            targets=[Target(total(series("feedmill_dead_letters_waiting"), by="topic"), "{{topic}}")],
            limits=Limits(1, 1),
            alerts=["DeadLetterWaits"],
        ),
    ),
)
CONSUMED = Row(
    "Consumers",
    (
        Panel(
            title="Consumer lag",
            text="Messages that a group has not committed. Below 10,000 is normal, 100,000 is too much.",
            unit="short",
            targets=[Target(total(series(LAG, OF_GROUP), by="group"), "{{group}}")],
            limits=Limits(100_000, 1_000_000),
            alerts=["ConsumerLag"],
        ),
        Panel(
            title="Progress",
            text="Messages per second that a group commits. A group with a lag and without progress is stuck.",
            unit="ops",
            targets=[Target(rate("feedmill_consumer_committed_total", OF_GROUP, by="group"), "{{group}}")],
            alerts=["ConsumerStuck"],
        ),
        Panel(
            title="Events handled",
            text="Events per second that a group finished. Each dead letter needs a person.",
            unit="ops",
            targets=[
                Target(rate("feedmill_events_handled_total", OF_GROUP, by="group, outcome"), "{{group}} {{outcome}}")
            ],
            event=REQUESTS,
        ),
        Panel(
            title="Age of events",
            text="99 % of the events are finished at this age. It is normally below 2 s, and rises when a group lags.",
            unit="s",
            targets=[Target(quantile(0.99, AGE, OF_GROUP, by="group"), "{{group}}")],
            event=REQUESTS,
        ),
        Panel(
            title="Age of events, all of it",
            text="How many events were finished at which age. A band that climbs is a group that falls behind.",
            kind="heatmap",
            unit="s",
            targets=[Target(buckets(AGE, OF_GROUP), "{{le}}")],
            event=REQUESTS,
        ),
        heartbeats(),
        Panel(
            title="Repeated batches",
            text="Batches per second that were repeated because a store or service was unavailable. Normal is 0.",
            unit="ops",
            targets=[Target(rate("feedmill_handler_retries_total", OF_GROUP, by="group"), "{{group}}")],
            event="a store or service fails while a batch is handled",
        ),
    ),
)
KAFKA = Dashboard(
    name="kafka",
    title="Feedmill: Kafka",
    text="Events from their outbox to the consumers: rates, lag, age and dead letters.",
    tag="area",
    variables=(GROUP,),
    rows=(PUBLISHED, CONSUMED),
)
