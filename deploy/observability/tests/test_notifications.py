"""Who gets what: a real Alertmanager with shortened times, and for the escalation a real Prometheus, too."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from deploy.observability import alertmanager, prometheus
from deploy.observability.__main__ import rendered
from deploy.observability.prometheus import write
from deploy.observability.rules import RULES, Severity
from deploy.observability.timing import Timing
from devstack import ports
from libs.common.testing.eventually import eventually

pytestmark = [
    pytest.mark.stores,
    pytest.mark.skipif(not shutil.which("prometheus-alertmanager"), reason="make test installs it"),
]
TIMING = Timing(180)  # 15 minutes are 5 s
Labels = Mapping[str, str]


@dataclass
class Receivers:
    """Webhooks of all receivers. `got` is receiver → the labels of each alert that it was sent."""

    got: dict[str, list[Labels]] = field(default_factory=lambda: {name: [] for name in alertmanager.WEBHOOKS})
    url: str = ""

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.got[request.match_info["name"]] += [one["labels"] for one in body["alerts"] if one["status"] == "firing"]
        return web.Response()

    def names(self, receiver: str) -> set[str]:
        return {labels["alertname"] for labels in self.got[receiver]}


@contextlib.asynccontextmanager
async def receivers() -> AsyncIterator[Receivers]:
    found = Receivers()
    app = web.Application()
    app.router.add_post("/{name}", found.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Alertmanager:
    session: aiohttp.ClientSession
    url: str
    receivers: Receivers

    async def fire(self, *alerts: Labels) -> None:
        body = [{"labels": dict(labels)} for labels in alerts]
        async with self.session.post(f"{self.url}/api/v2/alerts", json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def silence(self, page: str) -> None:
        now = datetime.now(UTC)
        body = {
            "matchers": [{"name": "page", "value": page, "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "on call",
            "comment": "I look at it",
        }
        async with self.session.post(f"{self.url}/api/v2/silences", json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def statuses(self) -> dict[str, dict[str, Any]]:
        """The name of an alert (and the job, if it has one) → its status."""
        async with self.session.get(f"{self.url}/api/v2/alerts") as answer:
            found = await answer.json()
        return {key(one["labels"]): one["status"] for one in found}

    async def inhibited(self) -> set[str]:
        return {name for name, status in (await self.statuses()).items() if status["inhibitedBy"]}


def key(labels: Labels) -> str:
    return " ".join(labels[name] for name in ("alertname", "severity", "job", "page") if name in labels)


def alert(name: str, severity: Severity = "page", **labels: str) -> dict[str, str]:
    """The labels of a rule's alert, with those of its expression."""
    rule = next(
        one for one in RULES if (one.name, one.severity) == (name, severity) and labels.items() >= one.labels.items()
    )
    return {"alertname": name, **labels, **rule.all_labels}


@contextlib.asynccontextmanager
async def process(folder: Path, *command: str) -> AsyncIterator[None]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        running.terminate()
        await running.wait()


@contextlib.asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Alertmanager]:
    async with receivers() as found, aiohttp.ClientSession() as session:
        environ = {variable: f"{found.url}/{name}" for name, variable in alertmanager.WEBHOOKS.items()}
        write(folder, rendered(TIMING, environ))
        port = ports.choose(set())
        options = (f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--storage.path=notified")
        config = f"--config.file={folder / 'alertmanager' / 'alertmanager.yml'}"
        async with process(folder, "prometheus-alertmanager", config, *options):
            running = Alertmanager(session, f"http://127.0.0.1:{port}", found)
            await eventually(lambda: ready(session, running.url))
            yield running


async def ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/-/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def got(running: Alertmanager, receiver: str, names: set[str]) -> bool:
    return running.receivers.names(receiver) >= names


INHIBITIONS: Sequence[tuple[Labels, Sequence[Labels], Sequence[Labels]]] = (
    # one that fires, those that it inhibits, and those that it does not
    (
        alert("StoreAway", store="redis"),
        [alert("FeedP99Slow"), alert("ErrorBudgetBurn", window="1h"), alert("RateLimitsBlind", "ticket", job="feed")],
        [alert("FeedWrong", fault="missing"), alert("OutboxWaiting", job="post"), alert("ProcessDown", job="feed")],
    ),
    (
        alert("StoreAway", store="kafka"),
        [alert("OutboxWaiting", job="post"), alert("CanaryBlind", "ticket", job="canary")],
        [alert("StoreAway", store="redis"), alert("DeadLetterWaits", "ticket", topic="posts")],
    ),
    (
        alert("GatewayDown", job="gateway-metrics"),
        [alert("ErrorRate"), alert("FeedP50Slow"), alert("ConsumerStuck", job="fanout", group="fanout")],
        [alert("FeedWrong", fault="missing"), alert("ProcessDown", job="feed"), alert("StorageFull", job="media")],
    ),
    (
        alert("ProcessDown", job="counters"),
        [
            alert("WorkerDown", job="counters", group="counters"),
            alert("ConsumerStuck", job="counters", group="counters"),
            alert("ProcessDown", "ticket", job="counters"),
            alert("PageNotAcknowledged", "escalation", job="counters") | {"page": "WorkerDown"},
        ],
        [
            alert("WorkerDown", job="fanout", group="fanout"),
            alert("PageNotAcknowledged", "escalation", job="fanout") | {"page": "WorkerDown"},
        ],
    ),
    (alert("FeedP99Slow"), [alert("FeedP99Slow", "ticket")], [alert("FeedP50Slow", "ticket")]),
    (
        alert("FanoutLag", job="fanout", level="3"),
        [alert("ConsumerLag", job="fanout", group="fanout"), alert("FanoutLag", "ticket", job="fanout", level="1")],
        [alert("ConsumerLag", job="counters", group="counters")],
    ),
)


@pytest.mark.parametrize(("cause", "explained", "others"), INHIBITIONS, ids=[key(cause) for cause, _, _ in INHIBITIONS])
async def test_a_cause_inhibits_what_it_explains_and_nothing_else(
    tmp_path: Path, cause: Labels, explained: Sequence[Labels], others: Sequence[Labels]
) -> None:
    async with started(tmp_path) as running:
        await running.fire(*explained, *others)
        assert await running.inhibited() == set()
        await running.fire(cause)

        async def inhibited() -> bool:
            assert await running.inhibited() == {key(one) for one in explained}
            return True

        await eventually(inhibited)


async def test_each_severity_has_its_receiver(tmp_path: Path) -> None:
    async with started(tmp_path) as running:
        await running.fire(
            alert("FeedP99Slow"),
            alert("DeadLetterWaits", "ticket", topic="posts"),
            alert("HotKey", "info", key="k"),
            alert("Watchdog", "watchdog"),
        )
        await eventually(lambda: got(running, "on-call", {"FeedP99Slow"}))
        await eventually(lambda: got(running, "tickets", {"DeadLetterWaits"}))
        await eventually(lambda: got(running, "watchdog", {"Watchdog"}))
        everywhere = set().union(*map(running.receivers.names, running.receivers.got))
        assert "HotKey" not in everywhere
        assert running.receivers.names("escalation") == set()


async def test_a_silence_acknowledges_the_page_and_its_escalation(tmp_path: Path) -> None:
    page, other = alert("FeedP99Slow"), alert("FeedWrong", fault="leaked")
    escalation = alert("PageNotAcknowledged", "escalation")
    async with started(tmp_path) as running:
        await running.silence("FeedP99Slow")
        await running.fire(page, other, escalation | {"page": "FeedP99Slow"}, escalation | {"page": "FeedWrong"})
        statuses = await running.statuses()
        silenced = {name for name, status in statuses.items() if status["silencedBy"]}
        assert silenced == {key(page), key(escalation | {"page": "FeedP99Slow"})}
        await eventually(lambda: got(running, "escalation", {"PageNotAcknowledged"}))
        assert {labels["page"] for labels in running.receivers.got["escalation"]} == {"FeedWrong"}


@pytest.mark.skipif(not shutil.which("prometheus"), reason="make test installs it")
async def test_a_page_that_nobody_acknowledges_escalates(tmp_path: Path) -> None:
    """Prometheus without a target fires `ProcessAbsent`, and 15 minutes later `PageNotAcknowledged`."""
    async with started(tmp_path) as running:
        write(tmp_path, prometheus.targets({}) | prometheus.alertmanagers(running.url.removeprefix("http://")))
        port = ports.choose(set())
        config = f"--config.file={tmp_path / 'prometheus' / 'prometheus.yml'}"
        # It finds Alertmanager some seconds after the first alert, which is then sent again.
        resend = "--rules.alert.resend-delay=1s"
        options = (f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.path=data", resend)
        async with process(tmp_path, "prometheus", config, *options):
            await eventually(lambda: got(running, "on-call", {"ProcessAbsent"}), 60)
            assert running.receivers.names("escalation") == set()
            await eventually(lambda: got(running, "escalation", {"PageNotAcknowledged"}), 60)
            assert {labels["page"] for labels in running.receivers.got["escalation"]} == {"ProcessAbsent"}
