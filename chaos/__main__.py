"""`python -m chaos matrix [ONLY] | soak MINUTES | alerts [ONLY]`: faults under load, or load for long."""

import argparse
import asyncio
import os
import sys
import threading
from functools import partial

from chaos.attacks import ATTACKS
from chaos.detour import detour
from chaos.drills import CLEAN_LOAD, FACTOR, REAL_WINDOWS, drill_alerts
from chaos.faults import faults, network_faults
from chaos.hostile import REQUESTS, hostile
from chaos.hostile import table as hostile_table
from chaos.matrix import matrix
from chaos.soak import not_flat, soak
from chaos.verdict import Verdict, table
from devstack.errors import DevstackError
from devstack.names import GATEWAY
from devstack.settings import Settings
from devstack.stack import Stack
from libs.common.core.settings import Settings as CommonSettings


def main() -> int:
    """Exit with 1 if a row is not clean, or a figure is not flat."""
    arguments = _parser().parse_args()
    stack = Stack(Settings.load(), threading.Event())
    if stack.table.find(GATEWAY) is None:
        print("chaos: Feedmill does not run here: make up", file=sys.stderr)
        return 1
    os.environ.update(stack.environ(stack.provider().endpoints()))
    try:
        if arguments.command == "soak":
            return _soak(stack, CommonSettings(), arguments.minutes)
        if arguments.command == "alerts":
            wanted = partial(_named, only=arguments.only)
            return int(not asyncio.run(drill_alerts(stack, CommonSettings(), wanted, arguments.factor)))
        return _matrix(stack, CommonSettings(), arguments.only, arguments.requests)
    except DevstackError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1


def _matrix(stack: Stack, settings: CommonSettings, only: str, requests: int) -> int:
    attacks = [attack for attack in ATTACKS if _named(f"hostile: {attack.name}", only)]
    rows = asyncio.run(_rows(stack, settings.public_url, only, others=bool(attacks)))
    found = asyncio.run(hostile(stack, settings.public_url, attacks, requests)) if attacks else []
    print("\n\n".join(shown for shown in (rows and table(rows), found and hostile_table(found)) if shown))
    return int(not all(row.is_clean for row in rows) or any(row.faults() for row in found))


def _named(name: str, only: str) -> bool:
    return any(part in name for part in only.split(","))


async def _rows(stack: Stack, base_url: str, only: str, *, others: bool) -> list[Verdict]:
    """Run the faults that `only` names. For network faults everything is restarted behind proxies, and back.

    Raises DevstackError if no fault has such a name, unless `others` are wanted.
    """
    rows = []
    async with detour(stack.provider()) as (ways, endpoints):
        local, of_network = faults(stack), [fault for fault in network_faults(ways) if _named(fault.name, only)]
        wanted = [fault for fault in local if _named(fault.name, only)]
        if not wanted and not of_network and not others:
            known = [fault.name for fault in (*network_faults(ways), *local)]
            known += [f"hostile: {attack.name}" for attack in ATTACKS]
            raise DevstackError(f"no row has {only!r} in its name; there are: {', '.join(known)}")
        if of_network:
            await asyncio.to_thread(stack.restart, endpoints)
            try:
                rows += await matrix(base_url, of_network)
            finally:
                await asyncio.to_thread(stack.restart)
    return rows + (await matrix(base_url, wanted) if wanted else [])


def _soak(stack: Stack, settings: CommonSettings, minutes: float) -> int:
    found = not_flat(asyncio.run(soak(stack, settings, minutes)))
    print("\n".join(found) or "memory, lag and errors are flat")
    return int(bool(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    rows = commands.add_parser("matrix", help="every fault and every attack, or those named so")
    rows.add_argument("only", nargs="?", default="", help="parts of names: redis,hostile")
    rows.add_argument("--requests", type=int, default=REQUESTS, help="of others, in each half of a hostile row")
    commands.add_parser("soak", help="a mixed load").add_argument("minutes", type=float)
    alerts = commands.add_parser("alerts", help="fire each page by a fault")
    alerts.add_argument(
        "only", nargs="?", default="", help=f"parts of names: gateway,redis,{REAL_WINDOWS},{CLEAN_LOAD}"
    )
    alerts.add_argument("--factor", type=float, default=FACTOR, help="divides all windows of the alerts")
    return parser


if __name__ == "__main__":
    sys.exit(main())
