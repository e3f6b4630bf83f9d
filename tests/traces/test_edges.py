"""Traces of the running system, as a collector gets them. Each span has its parent, from the gateway to the stores."""

from collections.abc import AsyncIterator, Sequence, Set
from uuid import uuid4

import pytest

from libs.common.testing.eventually import eventually
from libs.deployables import BY_NAME
from ops.client import Account, Api
from tests.e2e.world import feed_shows, follow, publish, snapshot, stranger
from tests.traces.receiver import Receiver, Seen, drawn, edges, orphans

pytestmark = pytest.mark.stack
DEADLINE_S = 60.0
CAPTION = "A caption that no span may have"
# Without the process that exports the gateway's spans, the trace begins in the service.
ENTRY = "gateway: {}" if "gateway-metrics" in BY_NAME else ""

UPLOAD = "POST /internal/media/store"
AUDIENCE = "POST /internal/users/audiences"
LIFE = {
    ("post: POST /v1/posts", "post: redis"),
    ("post: POST /v1/posts", "post: cassandra"),
    ("post: POST /v1/posts", f"post: {UPLOAD}"),
    (f"post: {UPLOAD}", f"media: {UPLOAD}"),
    (f"media: {UPLOAD}", "media: put object"),
    (f"media: {UPLOAD}", "media: cassandra"),
    (f"media: {UPLOAD}", "media: create media"),
    ("media: create media", "media: send media"),
    ("media: create media", "media-worker: process media"),
    ("media-worker: process media", "media-worker: get object"),
    ("media-worker: process media", "media-worker: decode picture"),
    ("media-worker: process media", "media-worker: put object"),
    ("media-worker: process media", "media-worker: create media"),
    ("media-worker: create media", "media-worker: send media"),
    ("media-worker: create media", "post: process media"),
    ("post: process media", "post: cassandra"),
    ("post: process media", "post: redis"),
    ("post: process media", "post: create posts"),
    ("post: create posts", "post: send posts"),
    ("post: create posts", "fanout: process posts"),
    ("post: create posts", "feed: process posts"),
    ("post: create posts", "media: process posts"),
    ("post: create posts", "user: process posts"),
    ("fanout: process posts", "fanout: redis"),
    ("fanout: process posts", f"fanout: {AUDIENCE}"),
    (f"fanout: {AUDIENCE}", f"user: {AUDIENCE}"),
    (f"user: {AUDIENCE}", "user: postgresql"),
    ("user: process posts", "user: postgresql"),
    ("media: process posts", "media: cassandra"),
    ("feed: process posts", "feed: redis"),
}
FOLLOWEES = "GET /internal/users/{}/followees"
READ = {
    ("feed: GET /v1/feed", "feed: redis"),
    ("feed: GET /v1/feed", f"feed: {FOLLOWEES.format('{id}')}"),
    (f"feed: {FOLLOWEES.format('{id}')}", f"user: {FOLLOWEES.format('{user_id}')}"),
    (f"user: {FOLLOWEES.format('{user_id}')}", "user: postgresql"),
    ("feed: GET /v1/feed", "feed: POST /internal/users/batch"),
    ("feed: POST /internal/users/batch", "user: POST /internal/users/batch"),
    ("user: POST /internal/users/batch", "user: postgresql"),
    ("feed: GET /v1/feed", "feed: POST /internal/posts/batch"),
    ("feed: POST /internal/posts/batch", "post: POST /internal/posts/batch"),
    ("post: POST /internal/posts/batch", "post: cassandra"),
    ("feed: GET /v1/feed", "feed: POST /internal/marks"),
    ("feed: POST /internal/marks", "interaction: POST /internal/marks"),
    ("interaction: POST /internal/marks", "interaction: redis"),
    ("interaction: POST /internal/marks", "interaction: cassandra"),
}
Life = tuple[Sequence[Seen], Account]
HTTP = {"http.request.method", "http.response.status_code"}
MESSAGE = {"messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name"}
QUERY = {"db.system.name", "db.query.summary", "db.namespace", "server.address", "server.port"}


@pytest.fixture
async def api(receiver: Receiver, base_url: str) -> AsyncIterator[Api]:
    async with Api(base_url) as api:
        yield api


async def trace_with(receiver: Receiver, request_id: str, wanted: Set[tuple[str, str]]) -> Sequence[Seen]:
    """Wait until the trace of the request has these edges, and all of its spans have their parents."""

    async def is_whole() -> Sequence[Seen]:
        spans = receiver.trace_of(request_id)
        missing = wanted - edges(spans)
        assert not missing, f"missing: {sorted(missing)}\n{drawn(spans)}"
        assert orphans(spans) == []
        return spans

    return await eventually(is_whole, DEADLINE_S)


def entry(route: str, service: str) -> set[tuple[str, str]]:
    return {(ENTRY.format(route), f"{service}: {route}")} if ENTRY else set()


async def author_and_reader(api: Api) -> tuple[Account, Account]:
    author, reader = await stranger(api), await stranger(api)
    await follow(api, reader, author)
    return author, reader


@pytest.fixture(scope="module")
async def life(receiver: Receiver, base_url: str) -> Life:
    """The trace of a post from its upload to its delivery, and its author."""
    request_id = uuid4().hex
    async with Api(base_url) as api:
        author, reader = await author_and_reader(api)
        await feed_shows(api, reader, [])
        files = {"image": ("photo.jpg", snapshot(), "image/jpeg")}
        headers = {"X-Request-Id": request_id}
        answer = await api.send("POST", "/posts", author, files=files, data={"caption": CAPTION}, headers=headers)
        await feed_shows(api, reader, [answer.json()["post_id"]])
    return await trace_with(receiver, request_id, LIFE | entry("POST /v1/posts", "post")), author


@pytest.fixture(scope="module")
async def read(receiver: Receiver, base_url: str) -> Sequence[Seen]:
    """The trace of the first read of a new reader, so that nothing is cached."""
    request_id = uuid4().hex
    async with Api(base_url) as api:
        author, reader = await author_and_reader(api)
        await publish(api, author)
        answer = await api.send("GET", "/feed", reader, headers={"X-Request-Id": request_id})
    assert answer.status_code == 200
    assert len(answer.json()["posts"]) == 1
    return await trace_with(receiver, request_id, READ | entry("GET /v1/feed", "feed"))


async def test_the_whole_life_of_a_post_is_one_trace(life: Life) -> None:
    spans, _ = life
    (asked,) = [span for span in spans if span.place == f"fanout: {AUDIENCE}"]
    assert [
        span
        for span in spans
        if span.place == "fanout: redis"
        and span.attributes["db.operation.name"] in {"FCALL", "PIPELINE"}
        and span.started_ns > asked.started_ns
    ]
    assert [span for span in spans if span.is_error] == []
    assert len([span for span in spans if not span.parent_id]) == 1


async def test_a_read_of_the_feed_reaches_every_store(read: Sequence[Seen]) -> None:
    systems = {str(span.attributes["db.system.name"]) for span in read if "db.system.name" in span.attributes}
    assert systems == {"cassandra", "postgresql", "redis"}


async def test_spans_follow_the_semantic_conventions(life: Life, read: Sequence[Seen]) -> None:
    seen = set()
    for span in (*life[0], *read):
        kind, needed = convention_of(span)
        seen.add(kind)
        assert span.kind == kind.partition(" ")[0], span
        assert needed <= span.attributes.keys(), span
        assert "" not in {span.attributes[name] for name in needed}, span
    assert seen == {
        "SERVER",
        "CLIENT of HTTP",
        "CLIENT of a database",
        "CLIENT of Kafka",
        "CLIENT of the object store",
        "PRODUCER",
        "CONSUMER",
        "INTERNAL",
    }


def convention_of(span: Seen) -> tuple[str, set[str]]:
    """The kind of the span, and the attributes that it needs."""
    match span.attributes:
        case {"db.system.name": _}:
            return "CLIENT of a database", QUERY
        case {"http.route": _}:
            return "SERVER", HTTP | {"http.route", "url.path", "url.scheme"}
        case {"url.full": _}:
            return "CLIENT of HTTP", HTTP | {"server.address", "server.port", "url.full"}
        case {"messaging.operation.type": "create"}:
            return "PRODUCER", MESSAGE
        case {"messaging.operation.type": "send"}:
            return "CLIENT of Kafka", MESSAGE
        case {"messaging.operation.type": "process"}:
            return "CONSUMER", MESSAGE | {"messaging.consumer.group.name"}
        case {"feedmill.object.operation": _}:
            return "CLIENT of the object store", set()
        case _:
            return "INTERNAL", {"feedmill.media.outcome"}


async def test_parents_are_the_callers(life: Life, read: Sequence[Seen]) -> None:
    by_id = {span.span_id: span for span in (*life[0], *read)}
    for span in by_id.values():
        if span.parent_id and span.kind in {"SERVER", "CONSUMER"}:
            parent = by_id[span.parent_id]
            expected = "PRODUCER" if span.kind == "CONSUMER" else "SERVER" if parent.service == "gateway" else "CLIENT"
            assert parent.kind == expected, span


async def test_spans_say_which_process_they_are_of(life: Life) -> None:
    for span in life[0]:
        assert span.service in {*BY_NAME, "gateway"}
        if span.service != "gateway":
            assert span.resource["service.namespace"] == "feedmill"
            assert span.resource["service.version"]
            assert str(span.resource["service.instance.id"]).startswith(span.service)


async def test_spans_have_no_personal_data(life: Life) -> None:
    spans, author = life
    values = {str(value) for span in spans for value in (span.name, *span.attributes.values())}
    for secret in (author.user_id, author.username, CAPTION, author.access_token):
        assert not any(secret in value for value in values)


async def test_an_answer_of_a_client_error_is_no_error_of_the_service(receiver: Receiver, api: Api) -> None:
    request_id = uuid4().hex
    answer = await api.send("GET", "/users/by-username/nobody_at_all", headers={"X-Request-Id": request_id})
    assert answer.status_code == 404
    route = "GET /v1/users/by-username/{username}"
    spans = await trace_with(receiver, request_id, {(f"user: {route}", "user: postgresql")})
    (server,) = [span for span in spans if span.service == "user" and span.kind == "SERVER"]
    assert (server.attributes["http.response.status_code"], server.is_error) == (404, False)
    assert server.attributes["url.path"] == "/v1/users/by-username/{username}"
