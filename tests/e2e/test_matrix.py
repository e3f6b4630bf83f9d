"""Every route of the published document, asked by those who may not: a stranger, nobody, and bearers of bad tokens.

A route without a row here fails the test.
"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.routing import APIRoute

from devstack.environment import common_environ
from devstack.stack import Stack
from libs.common.web.auth import ACCESS_TOKEN_S, ALGORITHM, LEEWAY_S, ServiceTokens
from libs.deployables import SERVICES
from ops.client import Account, Api, Json
from services.user.security.keys import KeyFolder
from tests.e2e.world import PASSWORD, assert_problem, publish, ready_media, snapshot, stranger

pytestmark = pytest.mark.stack
APPLICATIONS = {one.name: import_module(f"{one.module}.__main__").APPLICATION for one in SERVICES}


@dataclass(frozen=True)
class Row:
    """The answers to a stranger who names another user's ids (`{name}` in a body is one), and without a token."""

    stranger: int
    nobody: int = 401
    body: Json | None = None
    query: dict[str, str] = field(default_factory=dict)
    takes_tokens: bool = True


TAKEN = {"username": "{username}", "email": "x@example.org", "password": PASSWORD}
# In this order: a block at the end would hide from the others what they are to try.
MATRIX = {
    "register": Row(409, 409, TAKEN, takes_tokens=False),
    "login": Row(401, 401, {"login": "{username}", "password": "a guess of mine"}, takes_tokens=False),
    "refresh": Row(401, 401, {"refresh_token": "none of ours"}, takes_tokens=False),
    "jwks": Row(200, 200, takes_tokens=False),
    "put_upload": Row(403, 403, query={"expires": "99999999999", "signature": "forged"}, takes_tokens=False),
    "read_variant": Row(404, 404, takes_tokens=False),
    "me": Row(200),
    "sessions": Row(200),
    "end_session": Row(404),
    "change_password": Row(422, body={"current_password": "a guess of mine", "new_password": PASSWORD}),
    "search_users": Row(200, 200, query={"q": "{username}"}),
    "get_user_by_username": Row(200, 200),
    "get_user": Row(200, 200),
    "patch_user": Row(403, body={"bio": "theirs"}),
    "put_user": Row(403, body={"bio": "theirs", "is_private": False}),
    "remove_follower": Row(204),
    "followers": Row(404, 404),
    "following": Row(404, 404),
    "mutuals": Row(404),
    "follow_requests": Row(200),
    "approve_follow_request": Row(404),
    "deny_follow_request": Row(404),
    "blocks": Row(200),
    "mutes": Row(200),
    "create_post": Row(422, body={"media_ids": ["{media_id}"]}),
    "get_post_status": Row(404, 404),
    "get_post": Row(404, 404),
    "patch_post": Row(404, body={"caption": "theirs"}),
    "delete_post": Row(404),
    "list_user_posts": Row(404, 404),
    "list_hashtag_posts": Row(200, 200),
    "create_upload_url": Row(200, body={"content_type": "image/jpeg", "file_size": 100}),
    "complete_upload": Row(404),
    "read_media": Row(404),
    "delete_media": Row(404),
    "like": Row(404),
    "unlike": Row(404),
    "save": Row(404),
    "unsave": Row(404),
    "list_likes": Row(404),
    "list_saved": Row(200),
    "create_comment": Row(404, body={"text": "theirs"}),
    "list_comments": Row(404),
    "delete_comment": Row(404),
    "like_comment": Row(404),
    "unlike_comment": Row(404),
    "record_view": Row(404),
    "read_feed": Row(200),
    "feed_updates": Row(200, query={"feed_session_id": "{feed_session_id}"}),  # counted in the caller's own feed
    "put_feed_position": Row(200, body={"feed_session_id": "{feed_session_id}", "post_id": "{post_id}"}),
    "get_feed_position": Row(200),
    "explain_feed": Row(404),
    "follow": Row(200),
    "unfollow": Row(204),
    "mute": Row(204),
    "unmute": Row(204),
    "block": Row(204),
    "unblock": Row(204),
    "logout": Row(204),
}


@dataclass(frozen=True)
class House:
    """Someone with a private account, and the ids of their content. Nothing shown to others holds the secret."""

    owner: Account
    secret: str
    ids: dict[str, str]

    def filled(self, value: Any) -> Any:
        match value:
            case str():
                return value.format_map(self.ids)
            case list():
                return [self.filled(one) for one in value]
            case dict():
                return {name: self.filled(one) for name, one in value.items()}
            case _:
                return value


async def house(api: Api) -> House:
    secret = f"s{secrets.token_hex(8)}"
    owner = await api.register(f"u_{secrets.token_hex(8)}", PASSWORD, email=f"{secret}@example.org")
    await api.call("PATCH", f"/users/{owner.user_id}", owner, json={"is_private": True})
    (post_id,) = await publish(api, owner, caption=f"#{secret}")
    comment = await api.call("POST", f"/posts/{post_id}/comments", owner, json={"text": secret})
    asked = {"content_type": "image/jpeg", "file_size": len(snapshot())}
    media_id = await ready_media(api, owner)
    ids = {
        "user_id": owner.user_id,
        "username": owner.username,
        "post_id": post_id,
        "comment_id": comment["comment_id"],
        "media_id": media_id,
        "upload_id": (await api.call("POST", "/media/upload-url", owner, json=asked))["upload_id"],
        "session_id": (await api.call("GET", "/auth/sessions", owner))["sessions"][0]["session_id"],
        "feed_session_id": (await api.call("GET", "/feed", owner))["feed_session_id"],
        "tag": secret,
        "prefix": "p",
        "secret": "0" * 32,
        "name": "small.webp",
    }
    return House(owner, secret, ids)


async def operations(api: Api) -> Iterator[tuple[str, str, str]]:
    """(operation, method, path template) of all that is published, in the order of the matrix."""
    document = await api.call("GET", "/openapi.json")
    found = {
        operation["operationId"]: (method.upper(), path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert set(found) == set(MATRIX), "a route without a row, or a row without a route"
    return ((name, *found[name]) for name in MATRIX)


async def send(api: Api, place: House, name: str, method: str, path: str, headers: dict[str, str]) -> httpx2.Response:
    row = MATRIX[name]
    api.http.cookies.clear()
    url = f"{api.base_url}{place.filled(path)}"
    return await api.http.request(
        method, url, headers=headers, json=place.filled(row.body), params=place.filled(row.query)
    )


async def test_a_stranger_and_nobody_get_at_nothing_of_anothers(api: Api) -> None:
    place, other = await house(api), await stranger(api)
    wrong = []
    for name, method, path in await operations(api):
        for who, headers, expected in (
            ("nobody", {}, MATRIX[name].nobody),
            ("a stranger", other.headers, MATRIX[name].stranger),
        ):
            answer = await send(api, place, name, method, path, headers)
            if answer.status_code != expected or place.secret in answer.text:
                wrong.append(f"{name}, {who}: {answer.status_code} {answer.text[:200]}")
            if answer.status_code >= 400:
                assert_problem(answer, answer.status_code)
    assert not wrong, "\n".join(wrong)
    await assert_untouched(api, place)


async def assert_untouched(api: Api, place: House) -> None:
    owner, ids = place.owner, place.ids
    profile = (await api.call("GET", "/auth/me", owner))["user"]
    assert (profile["bio"], profile["is_private"], profile["follower_count"]) == ("", True, 0)
    post = await api.call("GET", f"/posts/{ids['post_id']}", owner)
    assert (post["caption"], post["engagement"]["like_count"]) == (f"#{place.secret}", 0)
    comments = await api.call("GET", f"/posts/{ids['post_id']}/comments", owner)
    assert [comment["text"] for comment in comments["comments"]] == [place.secret]
    assert (await api.login(owner.username, PASSWORD)).user_id == owner.user_id


async def bad_tokens(api: Api, stack: Stack, whose: Account) -> dict[str, str]:
    """Return tokens of this person that each have one defect."""
    environ = common_environ(stack.settings, stack.state, stack.provider().endpoints())
    keys = KeyFolder(Path(environ["FEEDMILL_JWT_KEYS_DIR"]))
    kid = {"kid": jwt.get_unverified_header(whose.access_token)["kid"]}
    claims = jwt.decode(whose.access_token, options={"verify_signature": False})
    ended = await api.login(whose.username, PASSWORD)
    assert (await api.send("POST", "/auth/logout", ended)).status_code == 204
    foreign = jwt.encode({**claims, "role": "admin"}, Ed25519PrivateKey.generate(), ALGORITHM, headers=kid)
    head, _, signature = whose.access_token.split(".")
    expired_at = datetime.now(UTC) - timedelta(seconds=ACCESS_TOKEN_S + LEEWAY_S + 1)
    return {
        "expired": keys.sign(int(claims["sub"]), int(claims["sid"]), "user", expired_at),
        "foreign-signed": foreign,
        "unsigned": jwt.encode(claims, "", "none", headers=kid),
        "signed with the public key": jwt.encode(claims, keys.published()[0]["x"], "HS256", headers=kid),
        "changed": f"{head}.{foreign.split('.')[1]}.{signature}",
        "a service's": ServiceTokens(environ["FEEDMILL_INTERNAL_SECRET"], "services.feed").header().split()[1],
        "revoked": ended.access_token,
    }


async def test_bad_tokens_open_nothing(api: Api, stack: Stack) -> None:
    place = await house(api)
    tokens = await bad_tokens(api, stack, place.owner)
    wrong = []
    for name, method, path in await operations(api):
        for kind, token in tokens.items():
            answer = await send(api, place, name, method, path, {"Authorization": f"Bearer {token}"})
            expected = 401 if MATRIX[name].takes_tokens else MATRIX[name].nobody
            if answer.status_code != expected or place.secret in answer.text:
                wrong.append(f"{name}, {kind}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)
    await assert_untouched(api, place)


async def test_internal_routes_are_for_services(api: Api, stack: Stack) -> None:
    """Not to be reached through the gateway even by a service; at the service itself not to be used by a person."""
    who = await stranger(api)
    environ = common_environ(stack.settings, stack.state, stack.provider().endpoints())
    service = {"Authorization": ServiceTokens(environ["FEEDMILL_INTERNAL_SECRET"], "services.feed").header()}
    wrong = []
    for name, application in APPLICATIONS.items():
        for route in (route for router in application.routers for route in router.routes):
            assert isinstance(route, APIRoute)
            assert route.methods
            if not route.path.startswith("/internal/"):
                continue
            path, (method,) = re.sub(r"\{\w+\}", who.user_id, route.path), route.methods
            for url, headers, expected in (
                (f"{api.base_url}{path}", who.headers, 404),
                (f"{api.base_url}{path}", service, 404),
                (f"{api.base_url}/api{path}", service, 404),
                (f"http://127.0.0.1:{stack.state.port(name)}{path}", who.headers, 401),
                (f"http://127.0.0.1:{stack.state.port(name)}{path}", {}, 403),
            ):
                answer = await api.http.request(method, url, headers=headers, json={} if method == "POST" else None)
                if answer.status_code != expected:
                    wrong.append(f"{method} {url}: {answer.status_code}, not {expected}")
    assert not wrong, "\n".join(wrong)
