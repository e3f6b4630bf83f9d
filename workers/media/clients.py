"""The decoder adapter. It decodes in a child process, so that a hostile file cannot crash the worker."""

import asyncio
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import orjson

from libs.contracts.failures import FailureReason
from workers.media.decoding.sandbox import MAX_CPU_S
from workers.media.domain.picture import Decoded, DecodingFailedError, Refused

WALL_S = 4.0 * MAX_CPU_S  # with at least a quarter of a core, the child reaches its CPU limit first
ANSWER_BYTES = 64 * 1024
STDERR_BYTES = 2_000  # the end of a traceback
_ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "workers.media.decoding.decode")


class ChildDecoder:
    """Implements `Decoder` with a new process per file, which is killed if it takes too long."""

    def __init__(self, command: Sequence[str] = COMMAND, wall_s: float = WALL_S) -> None:
        self._command = command
        self._wall_s = wall_s

    async def decode(self, source: Path, folder: Path) -> Decoded | Refused:
        # Without the worker's environment, so that a compromised decoder finds no secrets there.
        environ = {"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        # Files, not pipes: asyncio waits until a pipe is read to its end, so endless output would block the worker.
        with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as stderr:
            child = await asyncio.create_subprocess_exec(
                *self._command,
                str(source),
                str(folder),
                stdin=DEVNULL,
                stdout=answer,
                stderr=stderr,
                env=environ,
                cwd=_ROOT,
            )
            try:
                async with asyncio.timeout(self._wall_s):
                    code = await child.wait()
            except TimeoutError:
                raise DecodingFailedError(f"not done after {self._wall_s} s", stderr=_tail(stderr)) from None
            finally:
                await _reap(child)
            if code == -signal.SIGXCPU:
                return Refused(FailureReason.TOO_COMPLEX, "out of CPU time")
            answer.seek(0)
            verdict = _verdict(answer.read(ANSWER_BYTES)) if code == 0 else None
            if verdict is None:
                raise DecodingFailedError("no verdict", code=code, stderr=_tail(stderr))
            return verdict


async def _reap(child: Process) -> None:
    """Kill the child if it still runs, also after a cancellation."""
    if child.returncode is None:
        child.kill()
        await asyncio.shield(child.wait())


def _verdict(answer: bytes) -> Decoded | Refused | None:
    try:
        document = orjson.loads(answer)
        if "picture" in document:
            return Decoded(**document["picture"])
        return Refused(FailureReason(document["reason"]), str(document["detail"]))
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None


def _tail(file: BinaryIO) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - STDERR_BYTES))
    return file.read(STDERR_BYTES).decode(errors="replace")
