"""The decoder as a process of its own: whatever a file does to it, the worker lives on."""

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path

import orjson

from workers.media.domain import Decoded, Refused

WALL_S = 20.0
ANSWER_BYTES = 64 * 1024
_ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "workers.media.decode")


class ChildDecoder:
    """Implements `Decoder`; a fresh process for each file, killed when it takes too long."""

    def __init__(self, command: Sequence[str] = COMMAND, wall_s: float = WALL_S) -> None:
        self._command = command
        self._wall_s = wall_s

    async def decode(self, source: Path, folder: Path) -> Decoded | Refused:
        # Nothing of the worker's environment: a decoder that was taken over finds no secret there.
        environ = {"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        # A file, not a pipe: asyncio waits until a pipe is read out, so a child that floods one would hang the worker.
        with tempfile.TemporaryFile() as answer:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                str(source),
                str(folder),
                stdin=DEVNULL,
                stdout=answer,
                stderr=DEVNULL,
                env=environ,
                cwd=_ROOT,
            )
            try:
                async with asyncio.timeout(self._wall_s):
                    code = await child.wait()
            except TimeoutError:
                return Refused("timed_out")
            finally:
                await _reap(child)
            answer.seek(0)
            return _verdict(answer.read(ANSWER_BYTES)) if code == 0 else Refused("corrupt")


async def _reap(child: Process) -> None:
    """No child outlives its turn, not even a cancelled one."""
    if child.returncode is None:
        child.kill()
        await asyncio.shield(child.wait())


def _verdict(answer: bytes) -> Decoded | Refused:
    try:
        said = orjson.loads(answer)
        return Decoded(**said["picture"]) if "picture" in said else Refused(str(said["reason"]))
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return Refused("corrupt")
