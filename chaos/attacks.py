"""What one hostile account, or address, does within its limits: a table, and the process that does it."""

import asyncio
import io
import math
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson
from PIL import Image

from libs.common.web.limits import HOUR_S, MINUTE_S
from ops.client import Account, Api, ApiFailure
from ops.photos import paint
from workers.media.decoding.structure import MAX_SCANNED_SAMPLES, segments

UNKNOWN_FIELDS = 25_000  # 230 KB
FIELDS_OF_8_KB = 800
HIDDEN_POSTS = 200
COSTLY_SIDE = 7_000  # pixels: just below the most that are taken
REFUSED_SCANS = 500
TRICKLE_S = 4.0  # between two bytes
OPEN_AT_ONCE = 300  # bounds what the attacking process itself can pile up
UPLOAD_BYTES = 9_000_000
UPLOADS_PER_S = 5  # three requests each: the sustained limit of one account
PASSWORD = "not the right one"  # noqa: S105 - a wrong guess


@dataclass(frozen=True, slots=True)
class Target:
    """An existing user and one of their posts."""

    username: str
    user_id: str
    post_id: str


@dataclass(frozen=True, slots=True)
class Party:
    """An address with one account or more, and its target. `given` is the result of `prepare`."""

    base_url: str
    address: str
    accounts: Sequence[Account]
    target: Target
    given: Any = None

    @property
    def account(self) -> Account:
        return self.accounts[0]


Step = Callable[[Api, Party, int], Awaitable[str]]
"""The n-th thing that is done, and how it was answered."""
Prepare = Callable[[Api, Account], Awaitable[Any]]
"""Done in peace, before limits are on; the result goes to another process."""


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack, and the answers that it should meet: one row of the hostile table.

    Args:
        name: of the row.
        step: what is done again and again.
        per_s: how often.
        at_once: the size of a burst; a pause follows it.
        accounts: how many the attacker has.
        shows: the answer that proves that the attack met its target.
        most: answers that a limit must have bounded, each with the limit: a number, and a period in seconds.
        prepare: see `Prepare`.
        photos: whether other people's uploads are timed, too.
    """

    name: str
    step: Step
    shows: str
    per_s: float = 16.0  # the sustained limit of one account: 1,000 a minute
    at_once: int = 1
    accounts: int = 1
    most: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    prepare: Prepare | None = None
    photos: bool = False


def allowed(limit: tuple[int, int], seconds: float) -> int:
    """How many requests pass a limit in a time: all of its number at once, and more at its rate."""
    count, period_s = limit
    return math.ceil(count * (1 + seconds / period_s))


def told(response: httpx2.Response) -> str:
    """Return the status and the code of a problem: `429 rate_limited`."""
    with suppress(ValueError, KeyError, TypeError):
        return f"{response.status_code} {response.json()['code']}"
    return str(response.status_code)


async def ask(api: Api, method: str, path: str, who: Account | None = None, **request: Any) -> str:
    """Send a request and return its answer in short."""
    return told(await api.send(method, path, who, **request))


async def carry_out(party: Party, step: Step, per_s: float, at_once: int, seconds: float) -> Counter[str]:
    """Repeat the step for `seconds`, whether or not answers come. Return the number of each answer."""
    answers, running, index = Counter[str](), set[asyncio.Task[None]](), 0

    async def one(api: Api, index: int) -> None:
        answer = "unanswered"
        try:
            answer = await step(api, party, index)
        except ApiFailure as failure:
            answer = told(failure.response)
        except (httpx2.HTTPError, OSError):
            answer = "cut off"
        finally:
            answers[answer] += 1

    async with Api(party.base_url, party.address) as api:
        started = time.monotonic()
        while time.monotonic() < started + seconds:
            for _ in range(at_once):
                if len(running) < OPEN_AT_ONCE:
                    task = asyncio.create_task(one(api, index))
                    running.add(task)
                    task.add_done_callback(running.discard)
                index += 1
            await asyncio.sleep(max(0.0, min(index / per_s, seconds) + started - time.monotonic()))
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return answers


def attack_as(party: Party, name: str, seconds: float) -> Counter[str]:
    """Carry out the attack of this name, in whatever process this is."""
    attack = next(one for one in ATTACKS if one.name == name)
    return asyncio.run(carry_out(party, attack.step, attack.per_s, attack.at_once, seconds))


def ask_harmlessly(party: Party, per_s: float, seconds: float) -> Counter[str]:
    """Send the same rate of harmless requests, evenly."""
    return asyncio.run(carry_out(party, _harmless, per_s, 1, seconds))


async def _harmless(api: Api, party: Party, index: int) -> str:
    """Profiles and posts, with accounts in turn, so that nobody's limit is met."""
    target, who = party.target, party.accounts[index % len(party.accounts)]
    return await ask(api, "GET", (f"/users/{target.user_id}", f"/posts/{target.post_id}")[index % 2], who)


async def _one_key(api: Api, party: Party, index: int) -> str:
    """Send the same request fifty times with one key: an upload ticket, a comment or a post."""
    burst = index // ONE_KEY
    who, headers = party.account, {"Idempotency-Key": f"burst-{burst}"}
    if burst % 3 == 1:
        path, body = f"/posts/{party.target.post_id}/comments", {"text": "once"}
        return await ask(api, "POST", path, who, headers=headers, json=body)
    if burst % 3 == 2:
        return await ask(api, "POST", "/posts", who, headers=headers, json={"media_ids": [party.given]})
    return await ask(api, "POST", "/media/upload-url", who, headers=headers, json=_ticket(1_000))


def _ticket(size: int) -> dict[str, object]:
    return {"content_type": "image/jpeg", "file_size": size, "purpose": "post"}


async def _photo(api: Api, account: Account) -> str:
    media_id = await api.upload(account, paint("terrazzo", 0))
    await api.settled(f"/media/{media_id}", account)
    return media_id


def _many_fields(count: int) -> bytes:
    return orjson.dumps({f"{index:x}": 1 for index in range(count)})


async def _fields_of_a_login(api: Api, _: Party, index: int) -> str:
    body = (_many_fields(UNKNOWN_FIELDS), _many_fields(FIELDS_OF_8_KB))[index % 2]
    return await ask(api, "POST", "/auth/login", content=body, headers=_JSON)


async def _fields_of_a_profile(api: Api, party: Party, _: int) -> str:
    path, body = f"/users/{party.account.user_id}", _many_fields(UNKNOWN_FIELDS)
    return await ask(api, "PATCH", path, party.account, content=body, headers=_JSON)


_JSON = {"Content-Type": "application/json"}


async def _slow_upload(api: Api, party: Party, _: int) -> str:
    place = await api.call("POST", "/media/upload-url", party.account, json=_ticket(UPLOAD_BYTES))
    url = urlsplit(place["upload_url"])
    headers = {**place["headers"], "Content-Length": str(UPLOAD_BYTES)}
    return await _trickle(party, _head("PUT", f"{url.path}?{url.query}", headers) + b"\r\n")


async def _slow_connection(_: Api, party: Party, index: int) -> str:
    """A body, or a head, that does not end."""
    head = _head("POST", "/v1/auth/login", {**_JSON, "Content-Length": "8000"})
    return await _trickle(party, head + (b"\r\n" if index % 2 else b"X-Slow: "))


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: feedmill", *(f"{name}: {value}" for name, value in headers.items())]
    return "".join(f"{line}\r\n" for line in lines).encode()


async def _trickle(party: Party, head: bytes) -> str:
    """Send the head, then single bytes, until there is an answer or no connection."""
    url = urlsplit(party.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port, local_addr=(party.address, 0))
    answer = asyncio.ensure_future(reader.readline())
    try:
        writer.write(head)
        while not answer.done():
            await asyncio.wait([answer], timeout=TRICKLE_S)
            writer.write(b"x")
        status = answer.result().split()
        return status[1].decode() if len(status) > 1 else "cut off"
    finally:
        answer.cancel()
        writer.transport.abort()


async def _taken_name(api: Api, party: Party, _: int) -> str:
    body = {"username": party.target.username, "email": "somebody@example.org", "password": PASSWORD}
    return await ask(api, "POST", "/auth/register", json=body)


async def _wrong_password(api: Api, party: Party, _: int) -> str:
    body = {"login": party.target.username, "password": PASSWORD}
    return await ask(api, "POST", "/auth/login", json=body)


async def _lower_case_bearer(api: Api, party: Party, _: int) -> str:
    headers = {"Authorization": f"bearer {party.account.access_token}"}
    return await ask(api, "POST", "/posts", headers=headers, json={"media_ids": [party.given]})


async def _account_by_account(api: Api, party: Party, index: int) -> str:
    """Read feeds with another limit each time, so that no cached page fits."""
    turn, who = divmod(index, len(party.accounts))
    return await ask(api, "GET", "/feed", party.accounts[who], params={"limit": 1 + turn % 100})


async def _explain(api: Api, party: Party, _: int) -> str:
    return await ask(api, "GET", f"/feed/explain/{party.target.post_id}", party.account)


async def _hidden_posts(api: Api, account: Account) -> str:
    """Make posts of a private account, all with one tag."""
    tag, media_id = f"hidden{secrets.token_hex(4)}", await _photo(api, account)
    await api.call("PATCH", f"/users/{account.user_id}", account, json={"is_private": True})
    for _ in range(HIDDEN_POSTS):
        await api.call("POST", "/posts", account, json={"media_ids": [media_id], "caption": f"#{tag}"})
    return tag


async def _hidden_page(api: Api, party: Party, index: int) -> str:
    """Read a tag whose posts are all hidden, and one that nobody used: the service must search months."""
    tag = f"unknown{index}" if index % 2 else party.given
    return await ask(api, "GET", f"/hashtags/{tag}/posts", params={"limit": 1})


async def _small_photo(_: Api, __: Account) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 90, 40)).save(out, "JPEG")
    return out.getvalue()


async def _many_uploads(api: Api, party: Party, _: int) -> str:
    await api.upload(party.account, party.given)
    return "200"


async def _costly_photos(_: Api, __: Account) -> tuple[bytes, bytes]:
    """Upload the costliest photo that is accepted, and one with far too many scans."""
    out = io.BytesIO()
    Image.new("L", (COSTLY_SIDE, COSTLY_SIDE), 128).save(out, "JPEG", progressive=True)
    picture = out.getvalue()
    scans = [part for part in segments(picture) if part.kind == b"\xda"]
    last = picture[scans[-1].start : scans[-1].end]
    most = MAX_SCANNED_SAMPLES // COSTLY_SIDE**2

    def with_scans(count: int) -> bytes:
        return picture[: scans[-1].end] + last * (count - len(scans)) + picture[scans[-1].end :]

    return with_scans(most), with_scans(REFUSED_SCANS)


async def _costly_upload(api: Api, party: Party, index: int) -> str:
    await api.upload(party.account, party.given[index % 2])
    return "200"


async def _profile(api: Api, party: Party, _: int) -> str:
    return await ask(api, "GET", f"/users/{party.target.user_id}", party.account)


ONE_KEY = 50
REFUSED = "429 rate_limited"
SHARE = "429 too_many_in_progress"
ATTACKS = (
    Attack("one Idempotency-Key, 50 at once", _one_key, SHARE, at_once=ONE_KEY, prepare=_photo),
    Attack("25,000 unknown fields to log in", _fields_of_a_login, "422 invalid"),
    Attack("25,000 unknown fields of a profile", _fields_of_a_profile, "422 invalid"),
    Attack("270 uploads that trickle, one account", _slow_upload, "429", per_s=27),
    Attack("270 connections that trickle, one address", _slow_connection, "429", per_s=27, at_once=135),
    Attack(
        "registering a taken name, 260 at once",
        _taken_name,
        REFUSED,
        per_s=52,
        at_once=260,
        most={"409 username_taken": (20, MINUTE_S)},
    ),
    Attack("wrong passwords", _wrong_password, REFUSED, most={"401 invalid_credentials": (5, MINUTE_S)}),
    Attack("posts as `bearer`", _lower_case_bearer, REFUSED, most={"201": (10, HOUR_S)}, prepare=_photo),
    Attack("20 accounts of one address, feeds", _account_by_account, "200", per_s=50, at_once=20, accounts=20),
    Attack("feed/explain", _explain, REFUSED, most={"200": (60, MINUTE_S)}),
    Attack("tags of hidden posts, and of none", _hidden_page, "200", prepare=_hidden_posts),
    Attack("past every limit, 50 at once", _profile, REFUSED, per_s=100, at_once=50),
    Attack("uploads of one owner", _many_uploads, "200", per_s=UPLOADS_PER_S, prepare=_small_photo, photos=True),
    Attack("costly progressive JPEGs", _costly_upload, "200", per_s=2, prepare=_costly_photos, photos=True),
)
