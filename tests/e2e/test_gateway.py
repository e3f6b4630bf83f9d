"""What the gateway adds: one address, nothing internal, documents, an edge cache for media."""

import io
from urllib.parse import urlsplit

import httpx2
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from devstack.stack import Stack
from libs.common.testing.eventually import eventually
from ops.client import Api, Json
from ops.photos import paint
from tests.e2e.world import Someone, assert_problem, publish

pytestmark = pytest.mark.stack

HIDDEN = (
    "/internal/users/batch",
    "/internal/users/1/follower-ids",
    "/internal/users/1/ban",
    "/internal/posts/recent",
    "/internal/media/store",
    "/internal/marks",
    "/v1/../internal/marks",
    "/v1/posts/%2e%2e/%2e%2e/internal/marks",
    "//internal/marks",
    "/api/internal/marks",
    "/metrics",
    "/health/live",
    "/health/ready",
    "/api/v1/health/ready",
    "/openapi.json",
)
VARIANTS = {"thumbnail": 150, "small": 320, "medium": 640, "large": 1080}


@pytest.mark.parametrize("path", HIDDEN)
async def test_what_is_internal_is_not_there(api: Api, path: str) -> None:
    async with httpx2.AsyncClient() as http:
        for method in ("GET", "POST"):
            assert_problem(await http.request(method, f"{api.base_url}{path}"), 404)


async def is_counted(stack: Stack, api: Api) -> None:
    """Wait until gateway-metrics has counted a request that is made now, and has found nginx."""
    unmatched = {"method": "GET", "route": "unmatched", "status": "404"}

    async def samples() -> list[Sample]:
        async with httpx2.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{stack.state.port('gateway-metrics')}/metrics")).text
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    async def count() -> float:
        name = "feedmill_gateway_request_seconds_count"
        return sum(one.value for one in await samples() if (one.name, one.labels) == (name, unmatched))

    async def counted() -> bool:
        assert await count() == before + 1
        return [one.value for one in await samples() if one.name == "feedmill_gateway_up"] == [1]

    before = await count()
    assert_problem(await api.send("GET", "/nothing-is-here"), 404)
    await eventually(counted)


async def test_requests_are_counted_at_the_gateway(stack: Stack, api: Api) -> None:
    await is_counted(stack, api)


async def test_both_roots_are_the_same(api: Api, someone: Someone) -> None:
    who = await someone()
    (post_id,) = await publish(api, who)

    async def counted() -> bool:
        profile = await api.call("GET", f"/users/{who.user_id}", who)
        return bool(profile["post_count"] == 1)

    await eventually(counted)  # or the two answers may differ
    for path in (f"/posts/{post_id}", f"/users/{who.user_id}", f"/users/{who.user_id}/posts?limit=1"):
        plain = await api.call("GET", path, who)
        prefixed = await api.http.get(f"{api.base_url}/api/v1{path}", headers=who.headers)
        assert prefixed.json() == plain


async def test_documents(api: Api) -> None:
    document = await api.call("GET", "/openapi.json")
    assert {f"/v1/{path}" for path in ("auth/register", "feed", "posts", "saved", "media/upload-url")} <= set(
        document["paths"]
    )
    assert not [path for path in document["paths"] if not path.startswith(("/v1/", "/.well-known/"))]
    assert document["servers"] == [{"url": "/"}]
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    docs = await api.http.get(f"{api.base_url}/docs")
    assert docs.headers["content-type"].startswith("text/html")
    assert "/docs/initializer.js" in docs.text
    assert "/v1/openapi.json" in (await api.http.get(f"{api.base_url}/docs/initializer.js")).text
    assert (await api.http.get(f"{api.base_url}/docs/swagger-ui-bundle.js")).status_code == 200
    keys = (await api.http.get(f"{api.base_url}/.well-known/jwks.json")).json()["keys"]
    assert keys
    assert all("d" not in key for key in keys), "a private key"


async def ready(api: Api, someone: Someone) -> Json:
    who = await someone()
    media_id = await api.upload(who, paint("dunes", 3))
    return await api.settled(f"/media/{media_id}", who)


async def test_variants_are_pictures_of_their_size(api: Api, someone: Someone) -> None:
    media = await ready(api, someone)
    assert media["urls"].keys() >= VARIANTS.keys()
    for name, url in media["urls"].items():
        answer = await api.http.get(url)
        assert answer.status_code == 200
        with Image.open(io.BytesIO(answer.content)) as picture:
            picture.load()
            assert answer.headers["content-type"] == Image.MIME[str(picture.format)]
            assert picture.width <= VARIANTS.get(name, 10_000), name
            assert not picture.getexif(), "what the camera wrote is nobody's business"
    assert set(media["dimensions"]) == {"width", "height"}


async def test_media_is_kept_at_the_edge(api: Api, someone: Someone) -> None:
    url = (await ready(api, someone))["urls"]["medium"]
    first, second = [await api.http.get(url) for _ in range(2)]
    assert second.content == first.content
    assert [answer.headers["x-edge-cache"] for answer in (first, second)] == ["MISS", "HIT"]
    for answer in (first, second):
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    fresh = await api.http.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (fresh.status_code, fresh.content) == (304, b"")
    folder, secret, name = url.rsplit("/", 2)
    for missing in (f"{folder}/{secret}/huge.webp", f"{folder}/{'0' * 32}/{name}", f"{folder}/{name}"):
        assert_problem(await api.http.get(missing), 404)


async def test_ranges_of_media(api: Api, someone: Someone) -> None:
    url = (await ready(api, someone))["urls"]["small"]
    part = await api.http.get(url, headers={"Range": "bytes=10-19"})  # of a file that the edge does not hold yet
    whole = await api.http.get(url)
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    held = await api.http.get(url, headers={"Range": "bytes=-5"})
    assert (held.status_code, held.content) == (206, whole.content[-5:])
    assert_problem(await api.http.get(url, headers={"Range": "bytes=99999999-"}), 416)


async def test_media_urls_are_below_the_gateway(api: Api, someone: Someone) -> None:
    for url in (await ready(api, someone))["urls"].values():
        assert urlsplit(url).netloc == urlsplit(api.base_url).netloc
