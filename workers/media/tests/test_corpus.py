"""The files of the corpus, which is not part of the repository, under the limits that decoding has."""

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from workers.media.clients import ChildDecoder
from workers.media.domain import Decoded, Refused
from workers.media.sandbox import SLOWEST_CPU_S, cpu_s

CORPUS = Path(os.environ.get("FEEDMILL_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))
TYPES = ("jpeg", "png", "webp")

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(
        not (CORPUS / "manifest.json").exists(),
        reason="no corpus: FEEDMILL_CORPUS names the folder of its manifest.json",
    ),
]


async def test_what_the_corpus_accepts_stays_within_the_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prints the figure that `sandbox.SLOWEST_CPU_S` was taken from."""
    wrong, costs = [], []
    for file in json.loads((CORPUS / "manifest.json").read_text())["files"]:
        if file["kind"] != "image" or file["format"] not in TYPES:
            continue
        before_s = _children_s()
        verdict = await ChildDecoder().decode(CORPUS / file["path"], tmp_path)
        if isinstance(verdict, Decoded):
            costs.append((_children_s() - before_s, verdict.width * verdict.height, file["path"]))
        if not _is_fine(verdict, file["expected"]):
            wrong.append((file["path"], verdict))
    slowest_s, pixels, path = max(costs)
    with capsys.disabled():
        print(
            f"\n{len(costs)} pictures accepted; the slowest took {slowest_s:.2f} s of CPU ({path}, {pixels} pixels): "
            f"limit 2 x {SLOWEST_CPU_S} s, for that size {cpu_s(pixels)} s"
        )
    assert wrong == []


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _is_fine(verdict: Decoded | Refused, expected: dict[str, Any]) -> bool:
    fine = [one["verdict"] for one in (expected, *expected.get("also_ok", []))]
    return "check" in fine or ("refuse" if isinstance(verdict, Refused) else "accept") in fine
