import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from bench.figures import Latency
from chaos.attacks import ATTACKS, OPEN_AT_ONCE, REFUSED, Attack, Party, Target, carry_out
from chaos.hostile import LEAST_REQUESTS, MIX, PEOPLE, REQUESTS, Measured, Row, table
from ops.client import Api


async def told_ok(_: Api, __: Party, ___: int) -> str:
    return "200"


ATTACK = Attack("planted", told_ok, REFUSED, most={"201": (10, 3_600)})
PHOTOS = replace(ATTACK, photos=True)
USUAL = Measured(Latency(10.0, 40.0, LEAST_REQUESTS), photos=(0.3, 0.5))
CLEAN = Row(
    ATTACK, USUAL, Measured(Latency(12.0, 120.0, LEAST_REQUESTS), photos=(0.4, 1.5)), {REFUSED: 3, "201": 11}, 60.0
)
NOBODY = Party("http://127.0.0.1:9", "127.0.2.1", [], Target("", "", ""))


def others(p99: float = 120.0, count: int = LEAST_REQUESTS, **more: object) -> Row:
    return replace(CLEAN, others=Measured(Latency(12.0, p99, count), **more))  # type: ignore[arg-type]


def beside(p99: float, count: int = LEAST_REQUESTS, **more: object) -> Measured:
    return Measured(Latency(10.0, p99, count), **more)  # type: ignore[arg-type]


BAD = {
    "a failure": others(failures={"GET /feed: 503 overloaded": 1}),
    "slower than three times as usual": others(p99=120.1),
    "slower than people bear": replace(others(p99=250.1), baseline=beside(200.0)),
    "too few requests": others(count=LEAST_REQUESTS - 1),
    "too few requests of the baseline": replace(CLEAN, baseline=beside(40.0, LEAST_REQUESTS - 1)),
    "a failure beside harmless requests": replace(CLEAN, baseline=beside(40.0, failures={"GET /feed: 429": 1})),
    "an attack that never met its limit": replace(CLEAN, answers={"201": 11}),
    "a limit that did not hold": replace(CLEAN, answers={REFUSED: 3, "201": 12}),
    "a photo that took too long": replace(others(photos=(0.4, 1.6)), attack=PHOTOS),
    "no photo": replace(others(), attack=PHOTOS),
}


@pytest.mark.parametrize("row", BAD.values(), ids=BAD.keys())
def test_a_bad_row_has_one_fault(row: Row) -> None:
    assert len(row.faults()) == 1


def test_a_row_at_all_its_limits_is_clean() -> None:
    assert CLEAN.faults() == replace(CLEAN, attack=PHOTOS).faults() == []


def test_the_table_shows_answers_by_status() -> None:
    assert "3 x 429, 2 x cut off" in table([replace(CLEAN, answers={REFUSED: 1, "429": 2, "cut off": 2})])


def test_nobody_else_comes_near_a_limit_of_their_own() -> None:
    """In all rows together, which may take less than an hour; the limits are those of the services' settings."""
    each = (2 * len(ATTACKS) + 1) * REQUESTS / PEOPLE
    made = Counter[str]()
    for share, method, path, _ in MIX:
        made[f"{method} {path.partition('?')[0]}"] += share
    assert sum(made.values()) == 100
    limits = {"POST /posts": 10, "POST /posts/{post_id}/like": 100, "POST /posts/{post_id}/comments": 50}
    for route, limit in limits.items():
        assert each * made[route] / 100 <= limit


async def test_an_attack_is_bounded_and_counts_every_answer() -> None:
    given = iter(("200", "200", "429"))

    async def step(_: Api, __: Party, ___: int) -> str:
        if (answer := next(given, None)) is None:
            await asyncio.Event().wait()
        return answer or ""

    counted = await carry_out(NOBODY, step, per_s=1_000.0, at_once=2 * OPEN_AT_ONCE, seconds=0.1)
    assert counted == {"200": 2, "429": 1, "unanswered": OPEN_AT_ONCE - 3}


def test_every_row_has_a_name_of_its_own() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
