"""`python -m bench [feed|delivery|load …] [--graph FILE]`: figures of the running system, each beside its reference."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx2
from pydantic import ValidationError

from bench import crossover, delivery, fanout, fanout_way, feed, followees, graph, load, slow, small_authors
from bench.figures import Row, table
from libs.common.core.console import say
from libs.common.core.settings import Settings
from ops.client import ApiFailure

NAMES = ("feed", "followees", "crossover", "delivery", "load", "slow", "fanout")
PROBE_S = 3.0
SMALL_AUTHORS = 3_000  # events a second that one worker process must handle at least


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(NAMES)}; all when none is named")
    parser.add_argument(
        "--graph", type=Path, metavar="FILE", help="measure on this edge list: `follower followee` a line"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.what) - set(NAMES):  # `choices` would refuse to be given none
        parser.error(f"no figure is called {', '.join(sorted(unknown))}")
    if arguments.graph and not arguments.graph.is_file():
        parser.error(f"{arguments.graph} is no file")
    return arguments


async def _rows(name: str, settings: Settings) -> list[Row]:
    postgres = settings.postgres_dsn.get_secret_value()
    match name:
        case "feed":
            return await feed.measure(settings)
        case "followees":
            return await followees.measure(settings)
        case "crossover":
            return await crossover.measure(settings)
        case "delivery":
            return await delivery.measure(settings.public_url, postgres)
        case "load":
            return await load.measure(settings)
        case "slow":
            return await slow.measure(settings)
        case _:
            return [
                *_fanout_rows(await fanout.measure(settings)),
                _way_row(*await fanout_way.measure(settings)),
                *_small_rows(*await small_authors.measure(settings)),
            ]


def _fanout_rows(figures: fanout.FanoutFigures) -> list[Row]:
    reference = f"{figures.reference:,.0f}/s"
    return [
        Row("fan-out deliveries", f"{figures.pushed:,.0f}/s", reference, figures.pushed / figures.reference),
        Row("… redelivered", f"{figures.redelivered:,.0f}/s", reference, figures.redelivered / figures.reference),
        Row(
            "memory of a feed of 500, beside a sorted set",
            f"{figures.bytes_a_feed:,.0f} B",
            f"{figures.bytes_a_sorted_set:,.0f} B",
            figures.bytes_a_feed / figures.bytes_a_sorted_set,
        ),
    ]


def _way_row(way: float, bare: float) -> Row:
    return Row("… from Kafka and PostgreSQL, beside bare pushes", f"{way:,.0f}/s", f"{bare:,.0f}/s", way / bare)


def _small_rows(first: float, again: float) -> list[Row]:
    return [
        Row("posts of small authors", f"{first:,.0f} events/s", f"{SMALL_AUTHORS:,}/s", first / SMALL_AUTHORS),
        Row("… redelivered", f"{again:,.0f} events/s", f"{first:,.0f}/s", again / first),
    ]


async def _bench(names: Sequence[str], edge_list: Path | None) -> str:
    settings = Settings()
    async with httpx2.AsyncClient(timeout=PROBE_S) as http:
        await http.get(f"{settings.public_url}/v1/openapi.json")
    rows: list[Row] = []
    for name in names:
        say(name)
        rows += await _rows(name, settings)
    if edge_list:
        rows += await graph.measure(settings, edge_list)
    return table(rows)


def main() -> int:
    """Exit 1, with one line that says why, when there is nothing to measure."""
    arguments = _arguments()
    names = arguments.what or (() if arguments.graph else NAMES)
    try:
        print(asyncio.run(_bench(names, arguments.graph)))
    except ValidationError:
        print("bench: not in the environment of a running Feedmill: make up, then make bench", file=sys.stderr)
        return 1
    except httpx2.TransportError as error:
        print(f"bench: Feedmill does not answer ({error}): make up, then make bench", file=sys.stderr)
        return 1
    except (ApiFailure, RuntimeError, TimeoutError) as error:
        print(f"bench: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
