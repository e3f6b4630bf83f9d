"""The benchmark of tracing in a tiny world. What it measures here means nothing."""

from contextlib import nullcontext

import pytest

from bench import tracing
from bench.rounds import Rounds
from devstack.stack import Stack
from tests.conftest import operator_settings
from tests.traces.receiver import Receiver

pytestmark = pytest.mark.stack


async def test_tracing(receiver: Receiver, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = operator_settings(stack, monkeypatch).model_copy(update={"otlp_endpoint": receiver.address})
    monkeypatch.setattr(tracing, "collecting", lambda _: nullcontext())  # the receiver is there already
    once = Rounds(count=1, idle_s=0.0)
    size = tracing.Size(authors=2, page=2, connections=2, followers=1, seconds=0.5, commit_s=0.0, turns=1, rounds=once)
    rows = await tracing.measure(settings, size)
    assert [row.what for row in rows] == [
        f"{what}, CPU a request with {share} sampled, beside 0%"
        for what in ("feed page, assembled", "create post")
        for share in ("1%", "100%")
    ]
    assert all(row.ratio for row in rows)


async def test_without_a_collector_it_measures_nothing(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = await tracing.measure(operator_settings(stack, monkeypatch))
    assert row.figure is None
