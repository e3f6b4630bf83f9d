from dataclasses import replace

import pytest

from chaos.load import Request
from chaos.soak import SAMPLES, Sample, not_flat
from chaos.verdict import RECOVERY_S, Verdict, outside

CLEAN = Verdict("redis", requests=900, failed=40, outside=0, degraded=500, lost=0, doubled=0, recovery_s=RECOVERY_S)
QUIET = [Sample({"post": 100_000_000, "kafka": index * 1_000_000}, 3, 1_000, 0) for index in range(SAMPLES)]


def with_memory(memories: dict[int, int]) -> list[Sample]:
    """Return quiet samples with this memory of the post service, in MB, in some of them."""
    return [
        replace(sample, memory={"post": memories.get(index, 100) * 1_000_000}) for index, sample in enumerate(QUIET)
    ]


@pytest.mark.parametrize(
    "change", [{"lost": 1}, {"doubled": 1}, {"outside": 1}, {"recovery_s": None}, {"recovery_s": 5.1}]
)
def test_one_thing_wrong_is_not_clean(change: dict[str, float | None]) -> None:
    assert CLEAN.is_clean
    assert not replace(CLEAN, **change).is_clean  # type: ignore[arg-type]


def test_only_reads_that_fail_without_a_fault_are_outside() -> None:
    failed = [Request(at, is_read, failed=True) for at in (9.9, 10.0, 20.0, 20.1) for is_read in (True, False)]
    assert outside([*failed, Request(5.0, is_read=True, failed=False)], 10.0, 20.0) == 2


def test_what_grows_with_its_work_is_not_flat_but_stores_and_a_short_lived_child_are() -> None:
    assert not_flat(QUIET) == []
    assert not_flat(with_memory({SAMPLES - 1: 170})) == []
    growing = {index: 100 + 2 * index for index in range(SAMPLES)}
    assert not_flat(with_memory(growing)) == ["post grew from 114 to 134 MB"]


def test_lag_at_the_end_and_any_failure_are_told() -> None:
    samples = [*QUIET[:-1], replace(QUIET[-1], lag=501)]
    samples[0] = replace(samples[0], failed=2, lag=10_000)
    assert not_flat(samples) == ["lag of 501", "2 requests failed"]
