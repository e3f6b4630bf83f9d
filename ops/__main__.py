"""The command `feedmill`, also `python -m ops`: work on a running system, by its public API or its internal one."""

import argparse
import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from aiokafka.errors import KafkaError
from httpx2 import TransportError
from pydantic import ValidationError
from redis.exceptions import RedisError

from libs.common.core.errors import NotFoundError, UnavailableError
from libs.common.core.logging import AccountHash
from libs.common.core.settings import Settings
from ops import dlq, oracle, rebuild, reconcile
from ops.client import ApiFailure
from ops.feeds import open_feeds
from ops.journey import JourneyError, journey
from ops.seed import seed

ABOUT = "The operators' tools of a running Feedmill."
WHERE = """\
In a checkout, the tools work on the system that `make up` started there.
For another system, set the FEEDMILL_... variables of its services first;
seed and journey need only --base-url.

feedmill COMMAND --help says more about one command."""
# With an indent of 2, argparse of Python 3.11 breaks the line of the longest command.
HELP = partial(argparse.RawDescriptionHelpFormatter, indent_increment=1)
HINT = "sample-login.txt"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="feedmill", description=ABOUT, epilog=WHERE, formatter_class=HELP)
    commands = parser.add_subparsers(dest="command", required=True, title="commands", metavar="COMMAND")

    def add(name: str, summary: str, *details: str) -> argparse.ArgumentParser:
        description = " ".join([f"{summary[0].upper()}{summary[1:]}.", *details])
        return commands.add_parser(name, help=summary, description=description)

    def add_public(name: str, summary: str, *details: str) -> argparse.ArgumentParser:
        command = add(name, summary, *details)
        url = os.environ.get("FEEDMILL_PUBLIC_URL")  # no other default: it might be somebody else's system
        command.add_argument(
            "--base-url", default=url, metavar="URL", help="of the gateway (default: FEEDMILL_PUBLIC_URL)"
        )
        return command

    seeding = add_public("seed", "make the sample world, or a larger one", "A second run adds only what is missing.")
    seeding.add_argument("--users", type=int, default=30, help="people in the world (default: %(default)s)")
    seeding.add_argument("--posts", type=int, default=60, help="posts in the world (default: %(default)s)")
    add_public("journey", "show one post travelling to a follower's feed", "It says how long each step took.")
    checking = add(
        "oracle", "compare feeds with the records, and name what is wrong", "Exit status 1: something is wrong."
    )
    checking.add_argument(
        "readers", nargs="*", type=int, metavar="READER", help="account ids; none: some recent readers"
    )
    checking.add_argument("--sample", type=int, default=20, help="how many recent readers (default: %(default)s)")
    checking.add_argument("--fresh", action="store_true", help="build each page anew, and use no page that was kept")
    explaining = add("explain", "say why a post is, or is not, in a reader's feed")
    explaining.add_argument("reader", type=int, metavar="READER", help="account id")
    explaining.add_argument("post", type=int, metavar="POST", help="post id")
    rebuilding = add(
        "rebuild", "make feed lists anew from the records", "What is pushed meanwhile stays. It reports the difference."
    )
    rebuilding.add_argument("readers", nargs="*", type=int, metavar="READER", help="account ids")
    rebuilding.add_argument("--bucket", type=int, action="append", default=[], help="all lists of this bucket")
    rebuilding.add_argument("--all", action="store_true", help="all lists of all buckets")
    rebuilding.add_argument(
        "--buckets",
        type=int,
        default=int(os.environ.get("FEEDMILL_FEED_BUCKETS", "16")),
        help="how many buckets the system has (default: FEEDMILL_FEED_BUCKETS, or 16)",
    )
    rebuilding.add_argument("--dry-run", action="store_true", help="only compare; change nothing")
    reconciling = add(
        "reconcile", "compare counts with what they count, and correct them", "Exit status 1: some are still wrong."
    )
    reconciling.add_argument("users", nargs="*", type=int, metavar="USER", help="account ids; none: everybody")
    reconciling.add_argument(
        "--settle-s",
        type=float,
        default=reconcile.SETTLE_S,
        help="seconds between two looks; only what differs at both is wrong (default: %(default)s)",
    )
    reconciling.add_argument("--dry-run", action="store_true", help="only compare; change nothing")
    hashing = add("hash", "print the hash that stands for an account in logs", "It changes with the internal secret.")
    hashing.add_argument("account", type=int, metavar="ACCOUNT", help="account id")
    dlq.add_arguments(add("dlq", "list, show, replay or drop events that no consumer could handle (dead letters)"))
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


def _missing(arguments: argparse.Namespace) -> str:
    """What must be known about the system and is not; empty: nothing."""
    if "base_url" in arguments:
        return "" if arguments.base_url else "--base-url or FEEDMILL_PUBLIC_URL"
    try:
        Settings()
    except ValidationError as error:
        return ", ".join("FEEDMILL_" + "_".join(map(str, one["loc"])).upper() for one in error.errors())
    return ""


async def _explain(reader_id: int, post_id: int) -> str:
    async with open_feeds(Settings()) as feeds:
        found = await feeds.explain(reader_id, post_id)
    return found.model_dump_json(indent=2) if found else "there is no such post, or the reader may not see it"


def _act(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "seed":
            hint = asyncio.run(seed(arguments.base_url, arguments.users, arguments.posts))
            print(hint)
            if state_dir := os.environ.get("FEEDMILL_STATE_DIR"):
                (Path(state_dir) / HINT).write_text(f"{hint}\n")
        case "journey":
            asyncio.run(journey(arguments.base_url))
        case "oracle":
            return _oracle(arguments)
        case "explain":
            print(asyncio.run(_explain(arguments.reader, arguments.post)))
        case "rebuild":
            return _rebuild(arguments)
        case "reconcile":
            return _reconcile(arguments)
        case "hash":
            print(AccountHash(Settings().internal_secret.get_secret_value())(arguments.account))
        case "dlq":
            asyncio.run(dlq.run(arguments))
    return 0


def main() -> int:
    """Exit 1, with one line that says why, when the system does not do its part."""
    arguments = _parser().parse_args()
    if missing := _missing(arguments):
        why = f"no system runs here (make up); for another one, set {missing}"
    else:
        try:
            return _act(arguments)
        except (TransportError, RedisError, KafkaError) as error:
            why = f"no answer from the system: {error or type(error).__name__}"
        except (ApiFailure, NotFoundError, UnavailableError, JourneyError, OSError, TimeoutError) as error:
            why = str(error) or type(error).__name__
    print(f"{arguments.command}: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
