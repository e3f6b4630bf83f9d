"""`python -m ops seed|journey`: work on a running system through its public API."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from ops.client import ApiFailure
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
    return parser


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
        else:
            asyncio.run(journey(arguments.base_url))
    except (ApiFailure, JourneyError, OSError, TimeoutError) as error:
        print(f"{arguments.command}: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
