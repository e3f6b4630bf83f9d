"""Runs several slow functions at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor


def in_parallel(tasks: Sequence[Callable[[], None]], workers: int) -> None:
    """Run all to their end, then raise the first error."""
    with ThreadPoolExecutor(max_workers=workers) as pool:
        outcomes = [pool.submit(task) for task in tasks]
    for outcome in outcomes:
        outcome.result()
