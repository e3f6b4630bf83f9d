"""`python -m chaos matrix [ONLY] | soak MINUTES`: faults under load, or load for long, on the running system."""

import argparse
import asyncio
import os
import sys
import threading

from chaos.detour import detour
from chaos.faults import faults, network_faults
from chaos.matrix import matrix
from chaos.soak import not_flat, soak
from chaos.verdict import Verdict, table
from devstack.deployables import GATEWAY
from devstack.errors import DevstackError
from devstack.settings import Settings
from devstack.stack import Stack
from libs.common.runtime.settings import Settings as CommonSettings


def main() -> int:
    """Exit 1 when a row is not clean, or something is not flat."""
    arguments = _parser().parse_args()
    stack = Stack(Settings.load(), threading.Event())
    if stack.table.find(GATEWAY) is None:
        print("chaos: Feedmill does not run here: make up", file=sys.stderr)
        return 1
    os.environ.update(stack.environ(stack.provider().endpoints()))
    try:
        if arguments.command == "soak":
            return _soak(stack, CommonSettings(), arguments.minutes)
        return _matrix(stack, CommonSettings(), arguments.only)
    except DevstackError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1


def _matrix(stack: Stack, settings: CommonSettings, only: str) -> int:
    rows = asyncio.run(_rows(stack, settings.public_url, only))
    print(table(rows))
    return int(not all(row.is_clean for row in rows))


async def _rows(stack: Stack, base_url: str, only: str) -> list[Verdict]:
    """Those faults whose names have `only` in them; for those of the network everything is led there, and back."""
    rows = []
    async with detour(stack.provider()) as (ways, endpoints):
        others, of_network = faults(stack), [fault for fault in network_faults(ways) if only in fault.name]
        wanted = [fault for fault in others if only in fault.name]
        if not wanted and not of_network:
            known = [fault.name for fault in (*network_faults(ways), *others)]
            raise DevstackError(f"no fault has {only!r} in its name; there are: {', '.join(known)}")
        if of_network:
            await asyncio.to_thread(stack.restart, endpoints)
            try:
                rows += await matrix(base_url, of_network)
            finally:
                await asyncio.to_thread(stack.restart)
    return rows + await matrix(base_url, wanted)


def _soak(stack: Stack, settings: CommonSettings, minutes: float) -> int:
    found = not_flat(asyncio.run(soak(stack, settings, minutes)))
    print("\n".join(found) or "memory, lag and errors are flat")
    return int(bool(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("matrix", help="every fault, or those named so").add_argument("only", nargs="?", default="")
    commands.add_parser("soak", help="a mixed load").add_argument("minutes", type=float)
    return parser


if __name__ == "__main__":
    sys.exit(main())
