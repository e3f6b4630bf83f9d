"""Measures whether other users notice one hostile caller that stays within its limits."""

import asyncio
import multiprocessing
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import cast

import httpx2

from bench.figures import Latency
from chaos.attacks import Attack, Party, Target, allowed, ask_harmlessly, attack_as, told
from chaos.load import PASSWORD, PATIENCE_S, SIGN_IN_S, Person, gather_people
from devstack.stack import Stack
from libs.common.core.console import columns, say
from libs.common.core.priority import lower_priority
from libs.common.testing.eventually import eventually
from ops.client import Account, Api, ApiFailure, Json

REQUESTS = 2_100  # of others, in each half of a row
LEAST_REQUESTS = 2_000
RATE = 50.0  # of others' requests a second: two cores also carry the attack, its client and this one
PEOPLE = 70  # enough that nobody comes near their own limit, in all rows together
FOLLOWEES = 6
HARMLESS = 10  # accounts that send the baseline's requests: at 100/s none comes near its limit
P99_MS = 250.0
P99_RATIO = 3.0
PHOTO_EVERY_S = 2.0
PHOTO_S = 30.0
AHEAD_S = 1.0  # the attack goes on before others are measured
CALM_S = 3.0  # after an attack: its last connections end
HARMLESS_ADDRESS = "127.0.3.1"

# Share of others' requests in percent, method, path, JSON. Ids are those of a user that the caller follows.
Body = Callable[[Person], Json]
MIX: Sequence[tuple[int, str, str, Body | None]] = (
    (20, "GET", "/feed", None),
    (10, "GET", "/feed?order=chronological", None),
    (25, "GET", "/users/{user_id}", None),
    (25, "GET", "/posts/{post_id}", None),
    (10, "GET", "/media/{media_id}", None),
    (6, "POST", "/posts/{post_id}/like", None),
    (3, "POST", "/posts/{post_id}/comments", lambda _: {"text": "nice"}),
    (1, "POST", "/posts", lambda me: {"media_ids": [me.media_id]}),
)
_CYCLE = [(method, path, body) for share, method, path, body in MIX for _ in range(share)]
_STRIDE = 37  # coprime to the cycle's length: neighbours are at different places of it


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies and failures of others. `photos` are seconds from `complete` to ready."""

    latency: Latency
    failures: Mapping[str, int] = field(default_factory=dict)
    photos: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """The result of an attack: `baseline` is what others met beside harmless requests, `others` beside the attack."""

    attack: Attack
    baseline: Measured
    others: Measured
    answers: Mapping[str, int]
    seconds: float

    def faults(self) -> list[str]:
        """Return each reason why the row is not clean."""
        ours, usual = self.others, self.baseline
        found = [f"beside harmless requests: {times} x {what}" for what, times in usual.failures.items()]
        found += [f"{times} x {what}" for what, times in ours.failures.items()]
        if min(ours.latency.count, usual.latency.count) < LEAST_REQUESTS:
            found.append(f"fewer than {LEAST_REQUESTS:,} requests were measured")
        if ours.latency.p99 > min(P99_MS, P99_RATIO * usual.latency.p99):
            found.append(f"p99 of {ours.latency.p99:.0f} ms, {usual.latency.p99:.0f} ms beside harmless requests")
        if self.attack.photos and not (ours.photos and usual.photos):
            found.append("no photo was timed")
        elif self.attack.photos and max(ours.photos) > P99_RATIO * max(usual.photos):
            found.append(f"a photo took {max(ours.photos):.1f} s, {max(usual.photos):.1f} s beside harmless requests")
        if self.attack.shows not in self.answers:
            found.append(f"the attacker never met {self.attack.shows}")
        over = {
            answer: times
            for answer, limit in self.attack.most.items()
            if (times := self.answers.get(answer, 0)) > allowed(limit, self.seconds)
        }
        found += [f"the attacker got {times} x {answer}" for answer, times in over.items()]
        return found


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with an address of their own, and a post."""

    person: Person
    api: Api
    post_id: str


class Others:
    """Everybody but the attacker: requests at a fixed rate, whether or not answers come."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = list(members)
        self._turns = count()

    async def sign_in_again(self) -> None:
        """Sign everybody in again."""

        async def again(member: Member) -> Member:
            person = member.person
            account = await _signed_in_again(member.api, person.account)
            return Member(Person(account, person.photo, person.media_id), member.api, member.post_id)

        self._members = [await again(member) for member in self._members]

    async def measure(self, requests: int, *, photos: bool) -> Measured:
        """Send this number of requests, and upload a photo from time to time beside them."""
        seconds, failures, photo_s = list[float](), Counter[str](), list[float]()
        started = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            timing = tasks.create_task(self._photos(photo_s, failures)) if photos else None
            async with asyncio.TaskGroup() as asking:
                for index in range(requests):
                    await asyncio.sleep(max(0.0, started + index / RATE - time.monotonic()))
                    asking.create_task(self._ask(next(self._turns), seconds, failures))
            if timing is not None:
                timing.cancel()
        return Measured(Latency.of(seconds), failures, tuple(photo_s))

    async def _ask(self, turn: int, seconds: list[float], failures: Counter[str]) -> None:
        cycle, index = divmod(turn, len(self._members))
        member, other = self._members[index], self._members[(index + 1 + cycle % FOLLOWEES) % len(self._members)]
        method, path, body = _CYCLE[(cycle + index * _STRIDE) % len(_CYCLE)]
        ids = {"user_id": other.person.account.user_id, "post_id": other.post_id, "media_id": member.person.media_id}
        json = body(member.person) if body else None
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE_S):
                response = await member.api.send(method, path.format(**ids), member.person.account, json=json)
            answer = "" if response.is_success else told(response)
        except (TimeoutError, httpx2.TransportError) as error:
            answer = repr(error)
        seconds.append(time.perf_counter() - started)
        if answer:
            failures[f"{method} {path}: {answer}"] += 1

    async def _photos(self, seconds: list[float], failures: Counter[str]) -> None:
        for turn in count():
            member = self._members[turn % len(self._members)]
            account = member.person.account
            try:
                async with asyncio.timeout(PHOTO_S):
                    media_id = await member.api.upload(account, member.person.photo)
                    started = time.perf_counter()
                    status = (await member.api.settled(f"/media/{media_id}", account))["status"]
                seconds.append(time.perf_counter() - started)
            except ApiFailure as failure:
                status = told(failure.response)
            except (TimeoutError, httpx2.TransportError):
                status = "late"
            if status != "ready":
                failures[f"photo: {status}"] += 1
            await asyncio.sleep(PHOTO_EVERY_S)


class Hostile:
    """The rows, one after the other, against a system whose limits are on."""

    def __init__(
        self, base_url: str, others: Others, target: Target, harmless: Sequence[Account], requests: int
    ) -> None:
        self._base_url = base_url
        self._others = others
        self._target = target
        self._harmless = harmless
        self._requests = requests
        self._seconds = AHEAD_S + requests / RATE
        # A process of its own, the same for harmless requests and attacks, so that what it does costs others' no time.
        self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_give_way)

    async def warm_up(self) -> None:
        """Send first requests, so that one-time work is done before the measurement."""
        await self._beside(partial(ask_harmlessly, await self._harmless_party(), RATE), photos=False)

    async def row(self, attack: Attack, address: str, accounts: Sequence[Account], given: object) -> Row:
        """Measure beside harmless requests, then beside the attack."""
        await self._others.sign_in_again()
        baseline, _ = await self._beside(
            partial(ask_harmlessly, await self._harmless_party(), attack.per_s), photos=attack.photos
        )
        party = await self._signed_in(Party(self._base_url, address, accounts, self._target, given))
        others, answers = await self._beside(partial(attack_as, party, attack.name), photos=attack.photos)
        await asyncio.sleep(CALM_S)
        return Row(attack, baseline, others, answers, self._seconds)

    async def _beside(self, act: Callable[[float], Counter[str]], *, photos: bool) -> tuple[Measured, Counter[str]]:
        acting = asyncio.get_running_loop().run_in_executor(self._process, act, self._seconds)
        await asyncio.sleep(AHEAD_S)
        return await self._others.measure(self._requests, photos=photos), await acting

    async def _harmless_party(self) -> Party:
        party = await self._signed_in(Party(self._base_url, HARMLESS_ADDRESS, self._harmless, self._target))
        self._harmless = party.accounts
        return party

    async def _signed_in(self, party: Party) -> Party:
        async with Api(self._base_url, party.address) as api:
            return replace(party, accounts=[await _signed_in_again(api, account) for account in party.accounts])


def _give_way() -> None:
    """Lower the priority of this process, because a real attacker's client runs on another machine."""
    os.setsid()
    lower_priority()


async def _signed_in_again(api: Api, account: Account) -> Account:
    """Return the account with fresh tokens, as soon as the previous attack has ended."""

    async def refreshed() -> Account | None:
        with suppress(ApiFailure, httpx2.TransportError):
            return await api.refresh(account)
        return None

    return cast(Account, await eventually(refreshed, SIGN_IN_S))


async def hostile(stack: Stack, base_url: str, attacks: Sequence[Attack], requests: int) -> list[Row]:
    """Return one row for each attack, in this order. Accounts and data are prepared while limits are off."""
    async with AsyncExitStack() as opened, Api(base_url) as api:
        people = await gather_people(api, PEOPLE, FOLLOWEES)
        others = Others([await _member(opened, api, person, index) for index, person in enumerate(people)])
        first = people[0].account
        harmless = await _accounts(api, HARMLESS)
        ready = [await _prepared(api, attack) for attack in attacks]
        target = Target(first.username, first.user_id, await _post(api, people[0]))
        say("everybody is there; limits go on")
        await asyncio.to_thread(stack.restart, changes={"FEEDMILL_RATE_LIMITS": "true"})
        try:
            rows, round_ = [], Hostile(base_url, others, target, harmless, requests)
            await round_.warm_up()
            for index, (attack, (accounts, given)) in enumerate(zip(attacks, ready, strict=True), 1):
                rows.append(row := await round_.row(attack, f"127.0.2.{index}", accounts, given))
                say(f"{attack.name}: {'; '.join(row.faults()) or 'clean'}\n{table([row])}")
        finally:
            await asyncio.to_thread(stack.restart)
    return rows


async def _member(opened: AsyncExitStack, api: Api, person: Person, index: int) -> Member:
    own = await opened.enter_async_context(Api(api.base_url, f"127.0.1.{index + 1}"))
    return Member(person, own, await _post(api, person))


async def _post(api: Api, person: Person) -> str:
    made = await api.call("POST", "/posts", person.account, json={"media_ids": [person.media_id]})
    return str(made["post_id"])


async def _accounts(api: Api, wanted: int) -> list[Account]:
    return [await api.register(f"hostile_{secrets.token_hex(6)}", PASSWORD) for _ in range(wanted)]


async def _prepared(api: Api, attack: Attack) -> tuple[list[Account], object]:
    accounts = await _accounts(api, attack.accounts)
    return accounts, await attack.prepare(api, accounts[0]) if attack.prepare else None


def table(rows: Sequence[Row]) -> str:
    """Row, requests, failed, p50 and p99, the baseline's p99, the ratio, photos, what the attacker was answered."""
    head = ("hostile", "requests", "failed", "p50", "p99", "baseline p99", "ratio", "photo", "attacker's answers")
    return columns([head, *map(_cells, rows)])


def _cells(row: Row) -> Sequence[str]:
    ours, usual = row.others.latency, row.baseline.latency
    photo = f"{max(row.others.photos):.1f} s" if row.others.photos else ""
    by_status = Counter[str]()
    for answer, times in row.answers.items():
        by_status[answer.split()[0] if answer[0].isdigit() else answer] += times
    return (
        row.attack.name,
        f"{ours.count:,}",
        str(sum(row.others.failures.values())),
        f"{ours.p50:.0f} ms",
        f"{ours.p99:.0f} ms",
        f"{usual.p99:.0f} ms",
        f"{ours.p99 / usual.p99:.1f}",
        photo,
        ", ".join(f"{times:,} x {answer}" for answer, times in sorted(by_status.items())),
    )
