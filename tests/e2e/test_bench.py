"""Every benchmark in a tiny world, so that none breaks unnoticed. What it measures here means nothing."""

import shutil
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from bench import create, crossover, delivery, fanout, fanout_way, feed, followees, graph, load, slow
from bench.__main__ import BENCHMARKS, main
from bench.figures import Row
from bench.followees import Reads
from bench.report import Report
from bench.rounds import Rounds
from devstack.stack import Stack
from libs.common.core.settings import Settings
from tests.conftest import PUSH_THRESHOLD, operator_settings, restarted

pytestmark = pytest.mark.stack

ROUNDS = Rounds(count=1, idle_s=0.0)
READS = Reads(each=2, rounds=ROUNDS)
LATENCY = ("p50", "p99")
COST = (*LATENCY, "CPU a request")
LOAD = (*LATENCY, "rate", "CPU a request")
PUSHED = PUSH_THRESHOLD - 1  # followers: the most that are pushed to
SLOW_LANE_FROM = 40


@pytest.fixture
def settings(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return operator_settings(stack, monkeypatch)


def each(what: str, names: Iterable[str]) -> list[str]:
    return [f"{what}, {name}" for name in names]


async def test_feed(settings: Settings) -> None:
    size = feed.Size(authors=3, page=3, reference_users=10, connections=2, seconds=0.1, rate=20, rounds=ROUNDS)
    rows = await feed.measure(settings, size)
    assert [row.what for row in rows] == [
        *each("feed page, cached", LOAD),
        *each("feed page, assembled", LOAD),
        *each("… at 20/s", COST),
        "page of 3 one-picture posts, gzipped, beside the limit",
    ]
    assert_measured(rows)
    assert rows[-1].ratio
    assert rows[-1].ratio < 1


async def test_create(settings: Settings) -> None:
    rows = await create.measure(
        settings, create.Size(connections=2, followers=1, seconds=0.1, commit_s=0.0, rounds=ROUNDS)
    )
    assert [row.what for row in rows] == [
        *each("create post", LOAD),
        *each("create post at half of that rate", COST),
    ]
    assert_measured(rows)


async def test_followees(settings: Settings) -> None:
    size = followees.Size(few=2, many=3, most=5, page=2, first_reads=2, reads=READS)
    rows = await followees.measure(settings, size)
    assert [row.what for row in rows] == [
        "first read, list built, 3 followees beside 2",
        "first read, Redis just emptied, 3 followees beside 2",
        *each("assembled page, 3 followees beside 2", COST),
        *each("assembled page, 5 followees beside 2", COST),
    ]
    assert_measured(rows)


async def test_crossover(settings: Settings) -> None:
    rows = await crossover.measure(settings, crossover.Size(followees=(2, 4), page=2, reads=READS))
    assert [row.what for row in rows] == [
        name
        for who in ("few of whom post", "all of whom post")
        for name in (
            *each(f"assembled page, 2 followees, {who}", COST),
            *each(f"assembled page, 4 followees, {who}", COST),
            *each(f"… wins from, {who}", ("CPU", "p50")),
        )
    ]


async def test_delivery(settings: Settings) -> None:
    rows = await delivery.measure(settings, delivery.Size(followers=2, rounds=2, followees=1, posts_each=1))
    assert [row.what for row in rows] == each("post to the last of 2 feeds", LATENCY)
    assert {row.note for row in rows} == {"pushed, 2"}


async def test_load(settings: Settings) -> None:
    size = load.Size(followers=PUSHED, small=2, small_followers=1, rounds=2, rates=(2, 1_000_000), trial_s=1.0)
    rows = {row.what: row for row in await load.measure(settings, size)}
    subject = f"post to the last of {PUSHED} feeds"
    expected = each(f"{subject} alone, and the limit", LATENCY)
    for small in ("posts", "events alone"):
        highest = f"small {small}, highest rate, and the wanted one"
        expected.append(highest)
        if rows[highest].figure:  # a busy machine may not even reach two a second
            expected += each(f"{subject} beside small {small}, and the limit", LATENCY)
    assert list(rows) == expected


async def test_slow(settings: Settings, stack: Stack) -> None:
    size = slow.Size(followers=SLOW_LANE_FROM, small_followers=2, every=10, rounds=2)
    changes = {"FEEDMILL_SLOW_LANE_FROM": str(SLOW_LANE_FROM), "FEEDMILL_CHUNK_FOLLOWERS": str(SLOW_LANE_FROM // 2)}
    with restarted(stack, ["fanout"], changes):
        rows = await slow.measure(settings, size)
    assert [row.what for row in rows] == [
        *each(f"small author's post behind one to {SLOW_LANE_FROM}, beside alone", LATENCY),
        *(f"… waits longer, {name}, and the limit" for name in LATENCY),
    ]


@pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="the reference is redis-benchmark")
async def test_fanout(settings: Settings) -> None:
    rows = await fanout.measure(settings, fanout.Size(feeds=200, rounds=2, requests=1_000))
    assert [row.what for row in rows] == [
        "fan-out deliveries",
        "… redelivered",
        "memory of a feed of 500, beside a sorted set",
    ]
    assert_measured(rows[:2])


async def test_fanout_from_end_to_end(settings: Settings) -> None:
    rows = await fanout_way.measure(settings, fanout_way.Size(followers=PUSHED, rounds=2))
    assert [row.what for row in rows] == ["… from Kafka and PostgreSQL, beside bare pushes"]
    assert_measured(rows)


async def test_graph(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "tiny.edges"
    stars = [(follower, author) for author in (1, 2) for follower in range(10, 10 + PUSHED)]
    path.write_text("".join(f"{follower} {author}\n" for follower, author in stars))
    size = graph.Size(active=30, drawn=2, drawn_posts=2, rounds=2, events=2, page=1, reads=READS)
    rows = await graph.measure(settings, path, size)
    assert [row.what for row in rows] == [
        *each("post to the last follower of 10 to 99", LATENCY),
        *each("cached page, 1 to 9 followees", COST),
        *each("assembled page, 1 to 9 followees", COST),
        "fan-out over the graph, at most 30 lists",
    ]
    assert_measured(rows)


def test_the_figures_of_a_run_are_written_into_the_state_folder_or_a_given_file(
    settings: Settings, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row("feed page", None)
    monkeypatch.setitem(BENCHMARKS, "feed", (_returning([row]),))
    out = tmp_path / "out.json"
    for arguments in (["feed"], ["feed", "--out", str(out)]):
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        assert main() == 0
    (stored,) = (stack.state.directory / "bench").glob("*.json")
    for path in (stored, out):
        report = Report.read(path)
        assert (report.measured, report.rows) == (("feed",), (row,))


def _returning(rows: list[Row]) -> Callable[[Settings], Awaitable[list[Row]]]:
    async def measure(_: Settings) -> list[Row]:
        return rows

    return measure


def assert_measured(rows: Iterable[Row]) -> None:
    for row in rows:
        assert row.figure, row
        assert row.figure.value >= 0, row
