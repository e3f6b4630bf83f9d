"""An event loop without a clock and without input: time jumps to the next timer, and who runs next is drawn by lot."""

import asyncio
import random
from collections import deque
from typing import Any


class SimulatedLoop(asyncio.BaseEventLoop):
    """Draws from the module `random`: the same seed gives the same run."""

    _ready: deque[asyncio.Handle]

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._selector = self

    def time(self) -> float:
        return self._now_s

    def select(self, timeout: float | None) -> list[Any]:
        """Advance the virtual time when nothing is ready. Raises RuntimeError if nothing will ever be ready."""
        if timeout is None:
            raise RuntimeError("everybody waits, for nothing")
        self._now_s += timeout
        return []

    def _process_events(self, _: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _run_once(self) -> None:
        ready = list(self._ready)
        random.shuffle(ready)
        self._ready = deque(ready)
        super()._run_once()  # type: ignore[misc]  # typeshed does not show it
