"""Figures of the running system, each beside its reference: `python -m bench [feed|create|load …] [--graph FILE]`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
from pydantic import ValidationError

from bench import (
    create,
    crossover,
    delivery,
    fanout,
    fanout_way,
    feed,
    followees,
    graph,
    load,
    slow,
    small_authors,
    tracing,
)
from bench.figures import Row, table
from bench.report import Report, compared
from libs.common.core.console import say
from libs.common.core.settings import Settings
from ops.client import ApiFailure

Measure = Callable[[Settings], Awaitable[list[Row]]]
BENCHMARKS: dict[str, tuple[Measure, ...]] = {
    "feed": (feed.measure,),
    "create": (create.measure,),
    "followees": (followees.measure,),
    "crossover": (crossover.measure,),
    "delivery": (delivery.measure,),
    "load": (load.measure,),
    "slow": (slow.measure,),
    "tracing": (tracing.measure,),
    "fanout": (fanout.measure, fanout_way.measure, small_authors.measure),
}
PROBE_S = 3.0
FOLDER = "bench"  # in the state folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all when none is named")
    parser.add_argument(
        "--graph", type=Path, metavar="FILE", help="measure on this edge list: `follower followee` a line"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures there, not into the state folder")
    parser.add_argument(
        "--compare", type=Path, nargs=2, metavar=("OLD", "NEW"), help="measure nothing, and show two files side by side"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.what) - set(BENCHMARKS):  # `choices` would refuse to be given none
        parser.error(f"no figure is called {', '.join(sorted(unknown))}")
    if arguments.graph and not arguments.graph.is_file():
        parser.error(f"{arguments.graph} is no file")
    return arguments


async def _bench(names: Sequence[str], edge_list: Path | None, out: Path | None) -> None:
    settings = Settings()
    async with httpx2.AsyncClient(timeout=PROBE_S) as http:
        await http.get(f"{settings.public_url}/v1/openapi.json")
    report = Report.begin([*names, *([edge_list.name] if edge_list else [])])
    rows: list[Row] = []
    for name in names:
        say(name)
        for measure in BENCHMARKS[name]:
            rows += await measure(settings)
    if edge_list:
        rows += await graph.measure(settings, edge_list)
    print(table(rows))
    path = out or Path(os.environ["FEEDMILL_STATE_DIR"]) / FOLDER / report.file_name
    replace(report, rows=tuple(rows)).write(path)
    say(f"written to {path}")


def main() -> int:
    """Exit 1, with one line that says why, when there is nothing to measure."""
    arguments = _arguments()
    names = arguments.what or (() if arguments.graph else tuple(BENCHMARKS))
    try:
        if arguments.compare:
            print(compared(*map(Report.read, arguments.compare)))
        else:
            asyncio.run(_bench(names, arguments.graph, arguments.out))
    except ValidationError:
        print("bench: not in the environment of a running Feedmill: make up, then make bench", file=sys.stderr)
        return 1
    except httpx2.TransportError as error:
        print(f"bench: Feedmill does not answer ({error}): make up, then make bench", file=sys.stderr)
        return 1
    except (ApiFailure, RuntimeError, TimeoutError, ExceptionGroup) as error:
        while isinstance(error, ExceptionGroup):  # requests that ran at the same time
            error = error.exceptions[0]
        print(f"bench: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
