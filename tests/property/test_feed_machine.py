"""Any order of actions, deliveries, faults and pages: paging shows what it must, exactly once, and nothing else."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest.mock import patch

import orjson
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.common.core.settings import Settings
from libs.common.stores.redis import open_redis
from libs.common.testing import settings_for
from libs.feedlists import BackpressureLevel
from ops.judge import Expectation, judge
from services.feed.domain.feed import Order
from tests.property.owners import PEOPLE
from tests.property.system import System

PHASES = [Phase.generate, *([Phase.shrink] if "FEEDMILL_PROPERTY_SHRINK" in os.environ else [])]  # may take minutes
EXAMPLES = int(os.environ.get("FEEDMILL_PROPERTY_EXAMPLES", "150"))
pytestmark = [pytest.mark.stores, pytest.mark.timeout(max(600, EXAMPLES))]  # one takes a second at the worst
STEPS = 60
LIMIT = 3
SMALL = {  # limits so small that a few posts reach all of them
    "libs.feedlists.lists.CAP": 6,
    "libs.feedlists.lists.SLACK": 2,
    "services.feed.service.sources.CAP": 6,
    "services.feed.stores.cached.CAP": 6,
    "services.feed.service.sources.REBUILD_S": 60,  # of real time, which nothing here is about
    "services.feed.consumers.CAP": 6,
    "services.feed.service.paginator.PINNED_MAX": 8,
}
T = TypeVar("T")
people = st.sampled_from(PEOPLE)
readers = st.sampled_from(PEOPLE[:2])  # few, so that what happens meets somebody who is on the way


@dataclass
class Walk:
    """A reader who pages through the feed. `must` are the initial posts that must still be shown."""

    reader_id: int
    order: Order
    must: set[int]
    cursor: str | None = None
    shown: list[int] = field(default_factory=list)
    acts_seen: int = -1


class FeedMachine(RuleBasedStateMachine):
    """Drives one system; the model are its owners."""

    environ: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.patches = [patch(name, value) for name, value in SMALL.items()]
        for one in self.patches:
            one.start()
        settings = settings_for(Settings, self.environ)
        self.redis = open_redis(settings)
        self.system = System(self.run(self.redis.__aenter__()), settings)
        self.paginator: list[Walk] = []
        self.sessions: dict[str, set[int]] = {}
        self.promised = defaultdict[int, set[int]](set)
        """By reader: posts that a follow or an unmute brought. From then on no cached page may lack them."""
        self.stamps = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.system.lose_redis())
        self.run(self.redis.__aexit__(None, None, None))
        self.runner.close()
        for one in self.patches:
            one.stop()

    @invariant()
    def forget_what_must_not_be_shown_any_more(self) -> None:
        for walk in self.paginator:
            walk.must &= self.system.owners.eligible(walk.reader_id)
        for reader_id, posts in self.promised.items():
            self.promised[reader_id] = posts & self.system.owners.eligible(reader_id)
        for session_id, must in self.sessions.items():
            self.sessions[session_id] = must - self.system.owners.deleted

    @rule(
        reader=readers,
        author=people,
        what=st.sampled_from(["follow", "unfollow", "approve", "deny", "mute", "unmute", "block"]),
    )
    def change_the_graph(self, reader: int, author: int, what: str) -> None:
        if reader != author:
            with self.promising():
                self.run(getattr(self.system, what)(reader, author))

    @rule(author=people, what=st.sampled_from(["go_private", "go_public"]))
    def change_privacy(self, author: int, what: str) -> None:
        with self.promising():
            self.run(getattr(self.system, what)(author))

    @contextmanager
    def promising(self) -> Iterator[None]:
        """Expect that the change shows its readers more on their next page."""
        self.stamps += 1
        before = {reader: self.system.owners.eligible(reader) for reader in PEOPLE}
        yield
        for reader, seen in before.items():
            self.promised[reader] |= self.system.owners.eligible(reader) - seen

    @rule(
        reader=readers,
        author=people,
        order=st.sampled_from(Order),
        what=st.sampled_from(["approve", "deny", "unfollow", "go_public"]),
    )
    def look_around_the_answer_to_a_request(self, reader: int, author: int, order: Order, what: str) -> None:
        """The page is cached, and a change by another user must invalidate it."""
        self.change_the_graph(reader, author, "unfollow")
        self.change_privacy(author, "go_private")
        self.change_the_graph(reader, author, "follow")
        self.begin_a_walk(reader, order)
        if what == "go_public":
            self.change_privacy(author, what)
        else:
            self.change_the_graph(reader, author, what)
        self.begin_a_walk(reader, order)

    @rule(
        reader=readers,
        author=people,
        order=st.sampled_from(Order),
        what=st.sampled_from(["unfollow", "mute", "block", "ban", "post", "delete"]),
    )
    def look_around_an_act(self, reader: int, author: int, order: Order, what: str) -> None:
        """People do this most. The page is cached, and the change must invalidate it."""
        self.begin_a_walk(reader, order)
        match what:
            case "ban":
                self.ban_or_unban(author)
            case "post":
                self.post(reader, 0, 0, 1)
            case "delete":
                if self.paginator and self.paginator[-1].shown:
                    self.delete_post(self.paginator[-1].shown[-1])
            case _:
                self.change_the_graph(reader, author, what)
        self.begin_a_walk(reader, order)

    @rule(reader=readers, author=people, order=st.sampled_from(Order))
    def post_while_fan_out_is_behind(self, reader: int, author: int, order: Order) -> None:
        self.run(self.system.press(BackpressureLevel.PULL))
        self.post(author, 0, 0, 2)
        self.deliver_all()
        self.begin_a_walk(reader, order)
        self.run(self.system.press(BackpressureLevel.NORMAL))
        self.begin_a_walk(reader, order)

    @initialize(reader=readers, are_settled=st.booleans())
    def follow_everybody(self, reader: int, are_settled: bool) -> None:
        for author in PEOPLE:
            if author != reader:
                self.change_the_graph(reader, author, "follow")
        if are_settled:
            self.deliver_all()
            self.begin_a_walk(reader, Order.RANKED)

    @rule(author=people, age_s=st.integers(0, 5), likes=st.integers(0, 3), count=st.integers(1, 6))
    def post(self, author: int, age_s: int, likes: int, count: int) -> None:
        self.stamps += 1
        for _ in range(count):
            self.run(self.system.post(author, age_s=age_s, likes=likes))

    @precondition(lambda self: self.system.owners.posts)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.delete_post(data.draw(st.sampled_from(sorted(self.system.owners.posts))))

    def delete_post(self, post_id: int) -> None:
        self.stamps += 1
        self.run(self.system.delete(post_id))

    def ban_or_unban(self, author: int) -> None:
        self.stamps += 1
        self.run(self.system.ban_or_unban(author))

    @rule(author=people, what=st.sampled_from(["cross", "cross", "press", "press", "ban", "lose"]), data=st.data())
    def disturb(self, author: int, what: str, data: st.DataObject) -> None:
        """Run one of these disturbances. They share a rule, so that there is quiet between them."""
        match what:
            case "cross":
                self.run(self.system.cross(author))
            case "press":
                self.run(
                    self.system.press(
                        data.draw(
                            st.sampled_from(
                                [BackpressureLevel.NORMAL, BackpressureLevel.ACTIVE_ONLY, BackpressureLevel.PULL]
                            )
                        )
                    )
                )
            case "ban":
                self.ban_or_unban(author)
            case _:
                self.run(self.system.lose_redis())

    @precondition(lambda self: self.system.waiting())
    @rule(data=st.data(), twice=st.booleans())
    def deliver_something(self, data: st.DataObject, twice: bool) -> None:
        self.run(self.system.deliver(data.draw(st.sampled_from(self.system.waiting())), twice=twice))

    @rule()
    def deliver_all(self) -> None:
        self.run(self.system.settle())

    @rule(reader=readers, order=st.sampled_from(Order))
    def begin_a_walk(self, reader: int, order: Order) -> None:
        walk = Walk(reader, order, set())
        self.paginator.append(walk)
        self.turn_the_page(walk)

    @precondition(lambda self: self.paginator)
    @rule(data=st.data())
    def go_on_with_a_walk(self, data: st.DataObject) -> None:
        self.turn_the_page(self.paginator[data.draw(st.integers(0, len(self.paginator) - 1))])

    @precondition(lambda self: self.paginator)
    @rule()
    def finish_all_walks(self) -> None:
        while self.paginator:
            self.turn_the_page(self.paginator[-1])

    def turn_the_page(self, walk: Walk) -> None:
        owners = self.system.owners
        served = self.run(self.system.reader.page(walk.reader_id, walk.order, LIMIT, walk.cursor))
        page = orjson.loads(served.body)
        shown = [int(post["post_id"]) for post in page["posts"]]
        if walk.cursor is None:
            if served.cache != "hit":
                self.sessions[page["feed_session_id"]] = self.delivered_to(walk.reader_id)
            acted = self.promised[walk.reader_id] | owners.by(walk.reader_id)
            walk.must = (self.sessions[page["feed_session_id"]] | acted) & owners.eligible(walk.reader_id)
        elif walk.acts_seen == self.stamps:
            assert shown, "a page was promised that has nothing"
        assert page["has_more"] == (page["next_cursor"] is not None)
        assert len(shown) == LIMIT or not page["has_more"], "not filled up"
        walk.shown += shown
        walk.cursor, walk.acts_seen = page["next_cursor"], self.stamps
        eligible = frozenset(owners.eligible(walk.reader_id))
        assert judge(shown, Expectation(frozenset(), eligible, frozenset(owners.posts))) == []
        must = frozenset(walk.must) if walk.cursor is None else frozenset[int]()
        falls = walk.order is Order.CHRONOLOGICAL
        assert judge(walk.shown, Expectation(must, frozenset(walk.shown), falls=falls)) == []
        if walk.cursor is None:
            self.paginator.remove(walk)

    def delivered_to(self, reader_id: int) -> set[int]:
        """Return what a read must show now: eligible posts, except pushed posts that are not delivered yet."""
        owners = self.system.owners
        under_way = {
            p
            for p in self.system.in_flight()
            if owners.posts[p].author_id != reader_id and not owners.is_pulled(reader_id, owners.posts[p].author_id)
        }
        return owners.eligible(reader_id) - under_way


def test_any_interleaving(store_env: dict[str, str]) -> None:
    FeedMachine.environ = store_env
    run_state_machine_as_test(
        FeedMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            phases=PHASES,
            print_blob=True,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
