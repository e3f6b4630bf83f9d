"""Uploading, processing and storing images."""

from deploy.observability.dashboards.model import Dashboard, Limits, Panel, Row, Target
from deploy.observability.dashboards.panels import HTTP, IMAGES, REQUESTS, SERVER_ERRORS, event_age, handled, heartbeats
from deploy.observability.dashboards.queries import buckets, quantile, rate, series, share, total

PROCESSED = "feedmill_media_processed_total"
SECONDS = "feedmill_media_processing_seconds"
EDGE = "feedmill_gateway_cache_total"
USED, CAPACITY = "feedmill_storage_used_bytes", "feedmill_storage_capacity_bytes"
FAILED = 'outcome!="processed"'
UPLOAD = 'route=~"/v1/media/upload.+"'

UPLOADS = Row(
    "Uploads",
    (
        Panel(
            title="Requests for uploads",
            text="Requests per second of the routes that take files.",
            unit="reqps",
            targets=[Target(rate(f"{HTTP}_count", UPLOAD, by="method, route"), "{{method}} {{route}}")],
            event=REQUESTS,
        ),
        Panel(
            title="Errors of uploads",
            text="The share of upload requests that fail with a server error. Normal is 0.",
            unit="percentunit",
            targets=[
                Target(share(rate(f"{HTTP}_count", UPLOAD, SERVER_ERRORS), rate(f"{HTTP}_count", UPLOAD)), "5xx"),
            ],
            limits=Limits(0.001, 0.01),
            alerts=["ErrorRate"],
            event=REQUESTS,
        ),
        Panel(
            title="Upload latency",
            text="The time until an upload is acknowledged, with the transfer. The objective is 500 ms for 95 %.",
            unit="s",
            targets=[
                Target(quantile(0.5, HTTP, UPLOAD), "50 %"),
                Target(quantile(0.95, HTTP, UPLOAD), "95 %"),
            ],
            event=REQUESTS,
        ),
    ),
)
PROCESSING = Row(
    "Processing",
    (
        Panel(
            title="Processed images",
            text="Uploads per second by outcome. Some clients send files that are no images; other reasons are rare.",
            unit="ops",
            targets=[Target(rate(PROCESSED, by="outcome"), "{{outcome}}")],
        ),
        Panel(
            title="Failed images",
            text="The share of uploads that were not processed, by reason. Any `processing_failed` is a fault of ours.",
            unit="percentunit",
            targets=[
                Target(
                    f"{rate(PROCESSED, FAILED, by='outcome')} / on () group_left () {rate(PROCESSED)}", "{{outcome}}"
                )
            ],
            alerts=["MediaFailing"],
            event=REQUESTS,
        ),
        Panel(
            title="Repeated attempts",
            text="Attempts that failed although the picture is fine, such as a lost store. Normal is 0.",
            unit="ops",
            targets=[Target(rate("feedmill_media_retries_total"), "retries")],
        ),
        Panel(
            title="Time to process",
            text="One attempt, without waiting, by type of file. A 12 megapixel photo needs about 1 s of one core.",
            unit="s",
            targets=[
                Target(quantile(0.5, SECONDS, by="type"), "50 % {{type}}"),
                Target(quantile(0.95, SECONDS, by="type"), "95 % {{type}}"),
            ],
            event=REQUESTS,
        ),
        Panel(
            title="Time to process, all of it",
            text="How many images took how long. A band that moves up means larger images or a busy machine.",
            kind="heatmap",
            unit="s",
            targets=[Target(buckets(SECONDS), "{{le}}")],
        ),
        Panel(
            title="Images that wait",
            text="Messages that the media worker has not committed. A queue that grows for minutes needs more workers.",
            unit="short",
            targets=[
                Target(total(series("feedmill_consumer_lag_messages", 'group="media-worker"'), by="group"), "{{group}}")
            ],
            limits=Limits(100, 100),
            alerts=["QueueBuildup"],
        ),
        event_age(),
        handled(),
        heartbeats(),
    ),
)
STORAGE = Row(
    "Storage and edge",
    (
        Panel(
            title="Storage used",
            text="The share of the object storage that is in use. Above 80 % add capacity; at 100 % uploads fail.",
            kind="stat",
            unit="percentunit",
            targets=[Target(f"{total(series(USED), of='max')} / {total(series(CAPACITY), of='max')}", "used")],
            limits=Limits(0.8, 0.9),
            alerts=["StorageFull"],
            width=4,
        ),
        Panel(
            title="Bytes stored",
            text="Bytes in use, and those that fit. The distance of the two lines says how much time is left.",
            unit="bytes",
            targets=[
                Target(total(series(USED), of="max"), "used"),
                Target(total(series(CAPACITY), of="max"), "capacity"),
            ],
            width=10,
        ),
        Panel(
            title="Edge cache hit ratio",
            text="The share of images that the gateway answers from its cache. It should be above 95 %.",
            unit="percentunit",
            targets=[
                Target(
                    share(rate(EDGE, 'outcome=~"hit|stale"', by="kind"), rate(EDGE, by="kind")),
                    "{{kind}}",
                )
            ],
            limits=Limits(0.9, 0.85),
            alerts=["EdgeCacheMisses"],
            event=IMAGES,
            width=10,
            detail="gateway",
        ),
    ),
)
MEDIA = Dashboard(
    name="media",
    title="Feedmill: media",
    text="Uploads, the processing of images, storage and the edge cache.",
    tag="area",
    jobs=("media", "media-worker", "canary", "gateway-metrics"),
    rows=(UPLOADS, PROCESSING, STORAGE),
)
