"""The rendered configuration in the real nginx, before small upstreams."""

import contextlib
import http.client
import json
import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from devstack.java import only_jar
from devstack.ports import choose
from gateway import viewer
from gateway.settings import GatewaySettings
from gateway.tests.nginx import NGINX, running_nginx
from gateway.tests.upstream import PICTURE, Upstream
from libs.deployables import service_urls

pytestmark = [pytest.mark.stores, pytest.mark.xdist_group("gateway")]
KIB, MIB = 1024, 1024 * 1024


@dataclass
class Gateway:
    client: httpx2.Client
    upstreams: dict[str, Upstream]
    folder: Path
    port: int

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def exact(self, path: str) -> tuple[int, str, dict[str, Any]]:
        """Status, type and JSON of the path as it stands: HTTP libraries tidy it."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            with connection.getresponse() as answer:
                return answer.status, answer.headers["content-type"], json.loads(answer.read())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "docs" / "viewer").mkdir(parents=True)
    (folder / "docs" / "openapi.json").write_text('{"openapi": "3.1.0"}')
    for name, content in viewer.read(only_jar("swagger-ui")).items():
        (folder / "docs" / "viewer" / name).write_bytes(content)
    port = choose(set())
    with contextlib.ExitStack() as stack:
        upstreams: dict[str, Upstream] = {
            name: stack.enter_context(Upstream(name)) for name in service_urls({}) if name != "feed"
        }
        urls = {name: upstream.url for name, upstream in upstreams.items()}
        urls["feed"] = f"http://127.0.0.1:{choose({port})}"  # nobody listens there
        settings = {
            "gateway_port": port,
            "gateway_status_port": choose({port}),
            "trusted_proxies": "127.0.0.3,127.0.0.4",
            "service_urls": urls,
        }
        stack.enter_context(running_nginx(folder, GatewaySettings.model_validate(settings)))
        client = stack.enter_context(httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False))
        yield Gateway(client, upstreams, folder, port)


def assert_problem(answer: httpx2.Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get_list("x-request-id") == [answer.json()["request_id"]]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.json()["code"], answer.json()["status"]) == (code, status)


def test_nginx_accepts_the_configuration_without_a_warning(gateway: Gateway) -> None:
    config = gateway.folder / "nginx.conf"
    done = subprocess.run([NGINX, "-t", "-e", "stderr", "-c", config], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "[" not in done.stderr


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/auth/login", "user"),
        ("/users/1/follow?x=1", "user"),
        ("/users/1/posts", "post"),
        ("/posts/1", "post"),
        ("/posts/1/comments", "interaction"),
        ("/hashtags/%C3%A9t%C3%A9/posts", "post"),
        ("/media/upload-url", "media"),
    ],
)
def test_both_roots_reach_the_owner(gateway: Gateway, prefix: str, path: str, service: str) -> None:
    answer = gateway.get(prefix + path)
    assert answer.status_code == 200
    assert (answer.json()["service"], answer.json()["path"]) == (service, f"/v1{path}")


@pytest.mark.parametrize(
    "path",
    [
        "/internal/users/batch",
        "/health/live",
        "/metrics",
        "/v1/nothing",
        "/nothing.html",
        "/api/internal/users/batch",
        "/api/feed",
        "//form",
        "/v1/feed/..%2f..%2finternal/users/batch",
        "/v1/feed/../../internal/users/batch",
        "/%69nternal/users/batch",
        "/openapi.json",
    ],
)
def test_what_is_not_published_is_not_found(gateway: Gateway, path: str) -> None:
    status, kind, body = gateway.exact(path)
    assert (status, kind, body["code"]) == (404, "application/problem+json", "not_found")


def test_a_service_gets_the_path_that_was_routed(gateway: Gateway) -> None:
    _, _, got = gateway.exact("/internal/..//v1/%75sers/a%20b%3f?c=%2f")
    assert got["path"] == "/v1/users/a%20b%3F?c=%2f"


@pytest.mark.parametrize("given", ["client-id-1", "A.b_c-1234"])
def test_a_good_request_id_is_taken(gateway: Gateway, given: str) -> None:
    answer = gateway.get("/v1/users", x_request_id=given)
    assert answer.headers.get_list("x-request-id") == [given]
    assert answer.json()["headers"]["x-request-id"] == given
    assert_problem(gateway.get("/nothing", x_request_id=given), 404, "not_found")


@pytest.mark.parametrize("given", ["short", "x" * 65, 'quote"quote"', "a b c d e f"])
def test_a_bad_request_id_is_replaced(gateway: Gateway, given: str) -> None:
    answer = gateway.get("/v1/users", x_request_id=given)
    made = answer.json()["headers"]["x-request-id"]
    assert answer.headers.get_list("x-request-id") == [made]
    assert len(made) == 32
    assert_problem(gateway.get("/nothing", x_request_id=given), 404, "not_found")


def test_what_the_services_need_to_know_is_passed_on(gateway: Gateway) -> None:
    answer = gateway.get("/v1/users", authorization="Bearer t", x_api_key="k", x_forwarded_for="6.6.6.6")
    headers = answer.json()["headers"]
    assert (headers["authorization"], headers["x-api-key"]) == ("Bearer t", "k")
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert headers["host"] == f"127.0.0.1:{gateway.port}"


def seen_address(gateway: Gateway, source: str, *forwarded: str) -> str:
    """Return the address that the service sees for a request from `source`."""
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5, source_address=(source, 0))
    ) as connection:
        connection.putrequest("GET", "/v1/users")
        for value in forwarded:
            connection.putheader("X-Forwarded-For", value)
        connection.endheaders()
        with connection.getresponse() as answer:
            return str(json.loads(answer.read())["headers"]["x-forwarded-for"])


@pytest.mark.parametrize(
    ("source", "forwarded", "seen"),
    [
        ("127.0.0.2", ["203.0.113.9"], "127.0.0.2"),
        ("127.0.0.3", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.3", ["203.0.113.9, 127.0.0.4"], "203.0.113.9"),
        ("127.0.0.3", ["6.6.6.6, 203.0.113.9, 127.0.0.4"], "203.0.113.9"),
        ("127.0.0.3", ["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        ("127.0.0.3", ["nonsense"], "127.0.0.3"),
        ("127.0.0.3", [], "127.0.0.3"),
    ],
    ids=["stranger", "proxy", "two-proxies", "spoofed", "spoofed-in-two", "nonsense", "none"],
)
def test_only_trusted_proxies_say_which_client_it_is(
    gateway: Gateway, source: str, forwarded: list[str], seen: str
) -> None:
    assert seen_address(gateway, source, *forwarded) == seen


def test_an_address_has_a_hundred_connections(gateway: Gateway) -> None:
    upstream = gateway.upstreams["user"]
    with contextlib.ExitStack() as stack:
        stack.callback(upstream.go.set)
        held = [http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30) for _ in range(100)]
        for connection in held:
            stack.enter_context(contextlib.closing(connection))
            connection.request("GET", "/v1/users/held")
            assert upstream.held.acquire(timeout=30)
        answer = gateway.get("/v1/users")
        assert_problem(answer, 429, "too_many_in_progress")
        assert answer.headers.get_list("retry-after") == ["1"]
        assert seen_address(gateway, "127.0.0.2") == "127.0.0.2"
        upstream.go.set()
        assert [connection.getresponse().status for connection in held] == [200] * 100
    assert gateway.get("/v1/users").status_code == 200


@pytest.mark.parametrize("path", ["/v1/users", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"])
def test_text_is_compressed(gateway: Gateway, path: str) -> None:
    answer = gateway.get(path, accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("method", "path", "kind", "size"),
    [
        ("POST", "/v1/posts", "application/json", 256 * KIB),
        ("POST", "/v1/auth/login", "application/json", 8 * KIB),
        ("POST", "/v1/posts", FORM, 12 * MIB),
        ("POST", "/api/v1/posts", FORM, 12 * MIB),
        ("PUT", "/v1/media/uploads/1", "image/jpeg", 10 * MIB),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_within_bounds_arrives(
    gateway: Gateway, method: str, path: str, kind: str, size: int, chunked: bool
) -> None:
    body = iter([b"x" * size]) if chunked else b"x" * size
    answer = gateway.client.request(method, path, content=body, headers={"Content-Type": kind})
    assert answer.status_code == 200
    assert (answer.json()["body_bytes"], answer.json()["path"]) == (size, path.removeprefix("/api"))


@pytest.mark.parametrize(
    ("method", "path", "kind", "size"),
    [
        ("POST", "/v1/posts", "application/json", 256 * KIB + 1),
        ("POST", "/v1/posts", "", 256 * KIB + 1),
        ("PATCH", "/v1/posts/1", FORM, 256 * KIB + 1),
        ("POST", "/v1/posts", FORM, 102 * MIB),
        ("POST", "/v1/users/1", FORM, 256 * KIB + 1),
        ("POST", "/v1/auth/login", "application/json", 8 * KIB + 1),
        ("POST", "/api/v1/auth/register", "application/json", 8 * KIB + 1),
        ("PUT", "/v1/media/uploads/1", "image/jpeg", 12 * MIB),
    ],
)
def test_a_body_out_of_bounds_is_refused_before_it_is_sent(
    gateway: Gateway, method: str, path: str, kind: str, size: int
) -> None:
    """It sends Expect, so that the refusal is not lost when the connection breaks during the body."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")
        assert json.loads(answer.read())["code"] == "too_large"


def test_a_chunked_body_out_of_bounds_is_refused(gateway: Gateway) -> None:
    answer = gateway.client.post("/v1/users", content=iter([b"x" * (300 * KIB)]))
    assert_problem(answer, 413, "too_large")


def test_a_service_that_is_away_is_unavailable(gateway: Gateway) -> None:
    answer = gateway.get("/v1/feed")
    assert_problem(answer, 503, "unavailable")
    assert answer.headers.get_list("retry-after") == ["2"]


def test_a_services_own_503_is_left_as_it_is(gateway: Gateway) -> None:
    answer = gateway.get("/v1/users/busy")
    assert (answer.status_code, answer.headers.get_list("retry-after")) == (503, ["9"])
    assert answer.json()["service"] == "user"


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_request_that_may_have_acted_is_not_sent_again(gateway: Gateway, method: str) -> None:
    for _ in range(3):  # so that a reused connection is tried too
        gateway.get("/v1/users")
    path = f"/v1/users/{method}/hang-up"
    assert_problem(gateway.client.request(method, path, content=b"{}"), 503, "unavailable")
    assert gateway.upstreams["user"].hits[path] == 1


def test_media_is_kept_at_the_edge_whoever_asks(gateway: Gateway) -> None:
    path, hits = "/v1/m/a/1/2/s/small.webp", gateway.upstreams["media"].hits
    first = gateway.get(path, authorization="Bearer one")
    assert (first.headers["x-edge-cache"], first.content) == ("MISS", PICTURE)
    again = gateway.get(f"/api{path}?x=2", cookie="a=b")
    assert (again.headers["x-edge-cache"], again.content) == ("HIT", PICTURE)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    part = gateway.get(path, range="bytes=10-19")
    assert (part.status_code, part.content, part.headers["x-edge-cache"]) == (206, PICTURE[10:20], "HIT")
    assert_problem(gateway.get(path, range="bytes=9000-"), 416, "range_not_satisfiable")
    assert hits[path] == 1


def test_media_asked_for_in_part_first_is_whole_later(gateway: Gateway) -> None:
    path = "/v1/m/a/1/3/s/small.webp"
    assert gateway.get(path, range="bytes=0-1").content == PICTURE[:2]
    assert gateway.get(path).content == PICTURE


def test_private_media_is_not_kept(gateway: Gateway) -> None:
    for _ in range(2):
        assert gateway.get("/v1/m/a/1/2/s/private").headers["x-edge-cache"] == "MISS"


def test_media_stays_when_the_service_fails(gateway: Gateway) -> None:
    path, media = "/v1/m/a/1/2/brief/small.webp", gateway.upstreams["media"]
    gateway.get(path)
    media.broken = True
    try:
        answer = answer_when(gateway, path, lambda answer: answer.headers["x-edge-cache"] == "STALE")
        assert (answer.status_code, answer.content, answer.headers["x-edge-cache"]) == (200, PICTURE, "STALE")
    finally:
        media.broken = False


def answer_when(gateway: Gateway, path: str, wanted: Callable[[httpx2.Response], bool]) -> httpx2.Response:
    """Return the first answer that meets the condition."""
    end = time.monotonic() + 10
    while not wanted(answer := gateway.get(path)) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


def test_deleted_media_are_gone_at_the_edge_when_it_asks_again(gateway: Gateway) -> None:
    path, media = "/v1/m/a/1/4/brief/small.webp", gateway.upstreams["media"]
    first = gateway.get(path)
    assert "immutable" in first.headers["cache-control"]
    assert "x-accel-expires" not in first.headers
    again = answer_when(gateway, path, lambda answer: answer.headers["x-edge-cache"] == "REVALIDATED")
    assert (again.status_code, again.content, again.headers["x-edge-cache"]) == (200, PICTURE, "REVALIDATED")
    media.deleted = True
    try:
        assert answer_when(gateway, path, lambda answer: answer.status_code == 404).status_code == 404
        assert gateway.get(path).status_code == 404
    finally:
        media.deleted = False


def test_only_media_says_where_it_comes_from(gateway: Gateway) -> None:
    assert "x-edge-cache" not in gateway.get("/v1/users").headers


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/api/v1/openapi.json"])
def test_the_document_is_served(gateway: Gateway, path: str) -> None:
    answer = gateway.get(path)
    assert (answer.headers["content-type"], answer.json()) == ("application/json", {"openapi": "3.1.0"})


def test_the_front_door_points_at_the_page(gateway: Gateway) -> None:
    page = gateway.get(gateway.get("/").json()["docs"])
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert gateway.get("/docs/").content == gateway.get("/docs?x=1").content == page.content
    assert_problem(gateway.client.post("/docs"), 405, "method_not_allowed")


VIEWER_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".png": "image/png",
}


@pytest.mark.parametrize("name", [*viewer.PAGE, *viewer.ASSETS])
def test_the_viewer_is_served_whole_with_its_type(gateway: Gateway, name: str) -> None:
    answer = gateway.get(f"/docs/{name}")
    assert answer.headers["content-type"] == VIEWER_TYPES[Path(name).suffix]
    assert answer.content == (gateway.folder / "docs" / "viewer" / name).read_bytes()


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui-bundle.js"])
def test_the_viewer_is_protected_and_revalidated(gateway: Gateway, path: str) -> None:
    first = gateway.get(path)
    again = gateway.get(path, if_none_match=first.headers["etag"])
    assert (first.status_code, again.status_code) == (200, 304)
    for answer in (first, again):
        assert answer.headers.get_list("cache-control") == ["no-cache"]
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers.get_list("x-frame-options") == ["DENY"]
        (policy,) = answer.headers.get_list("content-security-policy")
        directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
        assert directives["default-src"] == directives["frame-ancestors"] == "'none'"
        assert directives["script-src"] == directives["connect-src"] == "'self'"


def test_the_page_loads_nothing_from_elsewhere(gateway: Gateway) -> None:
    page = gateway.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert "/docs/swagger-ui-bundle.js" in loaded
    for path in loaded:
        assert re.match(r"/[^/]", path)
        assert gateway.get(path).status_code == 200
    assert not re.search(r"<script(?![^>]* src=)|<style|\bstyle=|\bon\w+=", page), "the policy would block it"
    assert not re.search(r"//\w", gateway.get("/docs/initializer.js").text)
    styles = gateway.get("/docs/swagger-ui.css").text + gateway.get("/docs/index.css").text
    assert "@import" not in styles
    assert not re.search(r"url\((?!\s*[\"']?data:)", styles)


@pytest.mark.parametrize(
    "path", ["/docs/nothing", "/docs/swagger-ui.js", "/docs/../openapi.json", "/docs/openapi.json"]
)
def test_only_the_viewer_is_below_the_page(gateway: Gateway, path: str) -> None:
    status, kind, body = gateway.exact(path)
    assert (status, kind, body["code"]) == (404, "application/problem+json", "not_found")


def test_only_the_viewer_gets_the_headers_of_a_page(gateway: Gateway) -> None:
    headers = gateway.get("/v1/users").headers
    assert not {"cache-control", "x-frame-options", "content-security-policy"} & set(headers)


def test_what_nginx_can_not_read_is_a_problem(gateway: Gateway) -> None:
    assert_problem(gateway.get("/v1/users/%00"), 400, "bad_request")
    assert_problem(gateway.get("/v1/users", x_large="x" * 20_000), 431, "headers_too_large")
    assert_problem(gateway.get("/v1/" + "x" * 20_000), 414, "uri_too_long")


@pytest.mark.parametrize("method", ["FOOBAR", "TRACE", "PROPFIND"])
def test_unknown_methods_reach_no_service(gateway: Gateway, method: str) -> None:
    assert_problem(gateway.client.request(method, f"/v1/users/{method}"), 405, "method_not_allowed")
    assert gateway.upstreams["user"].hits[f"/v1/users/{method}"] == 0


def test_what_the_edge_keeps_does_not_depend_on_an_origin(gateway: Gateway) -> None:
    for path, passed_on in (("/v1/users/origin", True), ("/v1/m/aa/1/77/s/small.webp", False)):
        gateway.get(path, Origin="https://app.example.org")
        origins = gateway.upstreams["user" if passed_on else "media"].origins
        assert origins[path] == ("https://app.example.org" if passed_on else None)


def test_the_version_is_not_told(gateway: Gateway) -> None:
    assert gateway.get("/").headers["server"] == "nginx"


def logged(gateway: Gateway) -> list[dict[str, Any]]:
    """Return the lines about all earlier requests. Those of a connection are logged one after the other."""
    gateway.get("/")
    return [json.loads(line) for line in (gateway.folder / "stdout").read_text().splitlines()]


def test_the_log_is_json_and_holds_no_query(gateway: Gateway) -> None:
    gateway.get("/v1/users?token=not-for-any-log", x_request_id="logged-one")
    line = next(line for line in logged(gateway) if line["request_id"] == "logged-one")
    assert (line["method"], line["route"], line["path"], line["status"]) == ("GET", "/v1/users", "/v1/users", 200)
    assert "not-for-any-log" not in (gateway.folder / "stdout").read_text()


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("203.0.113.9", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("2001:db8:1::6", "2001:db8:1::"),
        ("2001:db8::6", "2001:db8::"),
        ("2001::6", "2001::"),
        ("::1", "::"),
    ],
)
def test_the_log_has_networks_not_addresses(gateway: Gateway, client: str, network: str) -> None:
    before = len(logged(gateway))
    assert seen_address(gateway, "127.0.0.3", client) == client
    assert network in [line["client"] for line in logged(gateway)[before:]]
    assert f'"{client}"' not in (gateway.folder / "stdout").read_text()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/users/by-username/alice-who-is-private",
        "/v1/m/a/1/2/alice-who-is-private/small.webp",
        "/v1/hashtags/alice-who-is-private/posts",
        "/alice-who-is-private",
        "/v1/users/alice-who-is-private@example.org",
    ],
)
def test_the_log_has_no_names_agents_or_secrets(gateway: Gateway, path: str) -> None:
    request_id = secrets.token_hex(8)
    gateway.get(path, user_agent="alice-who-is-private's phone", x_request_id=request_id)
    assert [line["path"] for line in logged(gateway) if line["request_id"] == request_id] == [""]
    for name in ("stdout", "stderr"):
        assert "alice-who-is-private" not in (gateway.folder / name).read_text()


def test_a_refused_upload_leaves_no_signature_in_any_log(gateway: Gateway) -> None:
    address = "/v1/media/uploads/1?expires=2&signature=not-for-logs"
    refused = gateway.client.put(address, content=bytes(12 * MIB))
    assert_problem(refused, 413, "too_large")
    assert_problem(gateway.get("/v1/feed?signature=not-for-logs"), 503, "unavailable")
    for name in ("stdout", "stderr"):
        assert "not-for-logs" not in (gateway.folder / name).read_text()
