"""`python -m ops`: work on a running system, through its public API or, as its operator, through the internal one."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.settings import Settings
from ops import dlq, oracle, rebuild, reconcile
from ops.client import ApiFailure
from ops.feeds import FeedService
from ops.journey import JourneyError, journey
from ops.seed import seed

HINT = "sample-login.txt"


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--base-url", default=os.environ.get("FEEDMILL_PUBLIC_URL", "http://127.0.0.1:8080"))
    parser = argparse.ArgumentParser(prog="ops", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    seeding = commands.add_parser("seed", parents=[common], help="make the sample world; again: add what is missing")
    seeding.add_argument("--users", type=int, default=30)
    seeding.add_argument("--posts", type=int, default=60)
    commands.add_parser("journey", parents=[common], help="show a post travelling to a follower's feed")
    checking = commands.add_parser(
        "oracle", help="recompute feeds from the records, and name what is wrong in the real ones"
    )
    checking.add_argument("readers", nargs="*", type=int, help="account ids; none: some who read of late")
    checking.add_argument("--sample", type=int, default=20, help="how many of those")
    checking.add_argument("--fresh", action="store_true", help="pass over pages that were kept")
    rebuilding = commands.add_parser("rebuild", help="recompute feed lists from the records, and put them in place")
    rebuilding.add_argument("readers", nargs="*", type=int, help="account ids")
    rebuilding.add_argument("--bucket", type=int, action="append", default=[], help="all lists of a bucket")
    rebuilding.add_argument("--all", action="store_true")
    rebuilding.add_argument("--buckets", type=int, default=int(os.environ.get("FEEDMILL_FEED_BUCKETS", "16")))
    rebuilding.add_argument("--dry-run", action="store_true", help="only compare")
    reconciling = commands.add_parser(
        "reconcile", help="compare counts with what they count, and mend those that are wrong"
    )
    reconciling.add_argument("users", nargs="*", type=int, help="account ids; none: everybody")
    reconciling.add_argument("--settle-s", type=float, default=reconcile.SETTLE_S, help="between two looks")
    reconciling.add_argument("--dry-run", action="store_true", help="only compare")
    explaining = commands.add_parser("explain", help="why a post is, or is not, in a reader's feed")
    explaining.add_argument("reader", type=int)
    explaining.add_argument("post", type=int)
    dlq.add_arguments(commands.add_parser("dlq", help="what no consumer could handle: list, show, replay, drop"))
    return parser


def _oracle(arguments: argparse.Namespace) -> int:
    return 1 if asyncio.run(oracle.run(arguments.readers, arguments.sample, fresh=arguments.fresh)) else 0


def _rebuild(arguments: argparse.Namespace) -> int:
    buckets = range(arguments.buckets) if arguments.all else arguments.bucket
    asyncio.run(rebuild.run(arguments.readers, buckets, arguments.buckets, swap=not arguments.dry_run))
    return 0


def _reconcile(arguments: argparse.Namespace) -> int:
    left = reconcile.run(arguments.users, settle_s=arguments.settle_s, mend=not arguments.dry_run)
    return 1 if asyncio.run(left) else 0


async def _explain(reader_id: int, post_id: int) -> str:
    async with FeedService(Settings()) as feeds:
        found = await feeds.explain(reader_id, post_id)
    return json.dumps(found, indent=2) if found else "there is no such post, or the reader may not see it"


def main() -> int:
    """Exit 1, with one line that says why, when the system does not do its part."""
    arguments = _parser().parse_args()
    state_dir = os.environ.get("FEEDMILL_STATE_DIR")
    try:
        if arguments.command == "seed":
            hint = asyncio.run(seed(arguments.base_url, arguments.users, arguments.posts))
            print(hint)
            if state_dir:
                (Path(state_dir) / HINT).write_text(f"{hint}\n")
        elif arguments.command == "oracle":
            return _oracle(arguments)
        elif arguments.command == "rebuild":
            return _rebuild(arguments)
        elif arguments.command == "reconcile":
            return _reconcile(arguments)
        elif arguments.command == "explain":
            print(asyncio.run(_explain(arguments.reader, arguments.post)))
        elif arguments.command == "dlq":
            asyncio.run(dlq.run(arguments))
        else:
            asyncio.run(journey(arguments.base_url))
    except (ApiFailure, NotFoundError, UnavailableError, JourneyError, OSError, TimeoutError) as error:
        print(f"{arguments.command}: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
