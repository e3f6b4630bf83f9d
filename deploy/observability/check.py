"""`python -m deploy.observability.check`: ask a real Prometheus every expression of every panel, on the running system.

It asks twice: when the system has been scraped for two minutes, and under load. The exit status is 1 if a panel has no
data and no event that explains it.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import groupby
from pathlib import Path

import httpx2

from chaos.load import Load, Person, gather_people
from deploy.observability import prometheus as config
from deploy.observability.__main__ import rendered
from deploy.observability.answers import ASK_TIMEOUT_S, Answer, Prometheus, answers
from deploy.observability.dashboards import DASHBOARDS
from deploy.observability.dashboards.panels import CLIENTS
from deploy.observability.prometheus import write
from deploy.observability.timing import SCRAPE_S, Timing
from devstack import ports
from devstack.names import GATEWAY
from devstack.settings import Settings
from devstack.stack import Stack
from libs.common.core.console import say
from libs.common.testing.eventually import eventually
from ops.client import Api
from ops.journey import journey

SCRAPED_S = 120.0
LOADED_S = 120.0
READY_S = 30.0
STOP_S = 10.0
LOOK_EVERY_S = 2.0  # people who look at the pictures of their feed


def main() -> int:
    """Exit with 1 if a panel has a fault, or if the system does not run."""
    stack = Stack(Settings.load(), threading.Event())
    program = shutil.which("prometheus")
    if program is None or stack.table.find(GATEWAY) is None:
        lacking = "Feedmill does not run here: make up" if program else "there is no prometheus: apt install prometheus"
        print(f"check-dashboards: {lacking}", file=sys.stderr)
        return 1
    base_url = stack.environ(stack.provider().endpoints())["FEEDMILL_PUBLIC_URL"]
    with tempfile.TemporaryDirectory() as folder, running(program, Path(folder), stack) as address:
        return int(not asyncio.run(check(address, base_url, len(stack.deployables))))


@contextmanager
def running(program: str, folder: Path, stack: Stack) -> Iterator[str]:
    """Run a Prometheus with our configuration that scrapes the stack. Yields its address."""
    addresses = {one.name: f"127.0.0.1:{stack.state.port(one.name)}" for one in stack.deployables}
    write(folder, rendered(Timing(), os.environ) | config.targets(addresses))
    port = ports.choose(set())
    argv = [program, f"--config.file={folder / 'prometheus' / 'prometheus.yml'}"]
    argv += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    process = subprocess.Popen(argv, cwd=folder)  # noqa: S603 - the program that was found
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(STOP_S)


async def check(address: str, base_url: str, processes: int) -> bool:
    """Ask twice and print what is found. True if no panel has a fault."""
    async with httpx2.AsyncClient(base_url=address, timeout=ASK_TIMEOUT_S) as http:
        prometheus = Prometheus(http)

        async def scraped() -> bool:
            answer = await http.get("/api/v1/query", params={"query": "count(up == 1)"})
            found = answer.json()["data"]["result"]
            return bool(found) and int(found[0]["value"][1]) == processes

        async def serves() -> bool:
            try:
                return (await http.get("/-/ready")).status_code == 200
            except httpx2.TransportError:
                return False

        await eventually(serves, READY_S)
        await eventually(scraped, READY_S + 2 * SCRAPE_S)
        began = time.time()
        say(f"Prometheus scrapes {processes} processes; waiting for {SCRAPED_S:.0f} s")
        await asyncio.sleep(SCRAPED_S)
        quiet = await _ask(prometheus, began)
        say("asked without load")
        began = time.time()
        async with loaded(base_url):
            await asyncio.sleep(LOADED_S)
            busy = await _ask(prometheus, began, CLIENTS)
        say("asked under load")
    print(f"\nTwo minutes old, without load:\n{report(quiet)}\n\nUnder load:\n{report(busy)}")
    return not any(one.problem for one in (*quiet, *busy))


async def _ask(prometheus: Prometheus, since: float, expected: Sequence[str] = ()) -> list[Answer]:
    found = [await answers(prometheus, one, since, time.time(), expected) for one in DASHBOARDS]
    return [answer for of_page in found for answer in of_page]


@asynccontextmanager
async def loaded(base_url: str) -> AsyncIterator[None]:
    """Let people register, read, post, like, comment and look at pictures, until the block ends."""
    await journey(base_url)
    async with Api(base_url) as api:
        people = await gather_people(api)
        async with Load(base_url, people).going_on():
            looking = asyncio.create_task(_look(api, people[0]))
            try:
                yield
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)


async def _look(api: Api, person: Person) -> None:
    """Fetch the pictures of the feed again and again: the first time from the media service, then from the edge."""
    while True:
        page = await api.call("GET", "/feed", person.account)
        for url in [url for post in page["posts"] for media in post["media"] for url in media["urls"].values()]:
            await api.http.get(url)
        await asyncio.sleep(LOOK_EVERY_S)


def report(found: Sequence[Answer]) -> str:
    """Return a line for each dashboard, and below it what has no data and why."""
    lines: list[str] = []
    for name, group in groupby(found, key=lambda one: one.dashboard):
        ours = list(group)
        lines.append(f"{name}: {sum(one.has_data for one in ours)} of {len(ours)} panels have data")
        lines += [
            f"  FAULT  {one.panel}: {one.problem}" if one.problem else f"  event  {one.panel}: until {one.event}"
            for one in ours
            if one.problem or not one.has_data
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
