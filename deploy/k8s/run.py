"""`python -m deploy.k8s.run`: run the overlay `local` on one node, and try what docs/deploy.md promises.

It must run on the node, as root: the folders of the stores are there, and Services have addresses there.
"""

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.k8s import kustomize
from deploy.k8s.__main__ import FOLDER, KUBECTL
from deploy.k8s.check import APPS, STORES
from libs.common.core.console import say
from ops.client import Account, Api
from ops.journey import journey
from ops.photos import paint

LOCAL = FOLDER / "overlays" / "local"
FOLDERS = {"kafka": 1000, "cassandra": 999, "postgres": 999, "objects": 10001}
READY = "25m"  # a busy node needs minutes to start Cassandra, and a minute for each Python process
REQUESTS = 10_000
READERS = 10
CALLERS = 8
EVICTED = "feed"
SCALED = "post"  # most requests of the load are reads of a post
KILLED = "redis"


class RunError(RuntimeError):
    """A step did not have the expected result."""


def kubectl(*arguments: str, given: str = "") -> str:
    """Run kubectl. Raises RunError."""
    done = subprocess.run([KUBECTL, *arguments], capture_output=True, text=True, check=False, input=given)  # noqa: S603
    if done.returncode:
        raise RunError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def got(*arguments: str) -> Any:
    """Return what `kubectl get` answers."""
    return json.loads(kubectl("get", *arguments, "--output", "json"))


async def waits(*arguments: str) -> str:
    """Run kubectl while the load goes on."""
    return await asyncio.to_thread(kubectl, *arguments)


def load_images(command: str) -> None:
    """Give each image of the overlay to a command that loads a file of `docker save` into the node."""
    objects = kustomize.build(LOCAL)
    for image in sorted({container["image"] for one in objects for container in kustomize.containers(one)}):
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            subprocess.run(["docker", "save", "--output", file.name, image], check=True)  # noqa: S603, S607
            subprocess.run([*command.split(), file.name], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        say(f"{image} loaded")


def create_secrets() -> None:
    """Create the Secrets that do not exist."""
    password = secrets.token_urlsafe(24)
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    wanted = {
        (APPS, "feedmill-internal"): {
            name: secrets.token_urlsafe(32) for name in ("FEEDMILL_INTERNAL_SECRET", "FEEDMILL_CURSOR_SECRET")
        },
        (APPS, "feedmill-jwt"): {"2026-01.pem": key},
    }
    if not got("secret", "--namespace", STORES, "--field-selector", "metadata.name=postgres")["items"]:
        dsn = f"postgresql://feedmill:{password}@postgres.{STORES}:5432/postgres"
        wanted[STORES, "postgres"] = {"POSTGRES_PASSWORD": password}
        wanted[APPS, "feedmill-postgres"] = {"FEEDMILL_POSTGRES_DSN": dsn}
    for (namespace, name), data in wanted.items():
        if not got("secret", "--namespace", namespace, "--field-selector", f"metadata.name={name}")["items"]:
            metadata = {"name": name, "namespace": namespace}
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
            kubectl("apply", "--filename", "-", given=json.dumps(secret))


def apply() -> str:
    """Apply the overlay, wait until everything is ready, and return the URL of the gateway's Service."""
    for name, user in FOLDERS.items():
        place = Path("/var/lib/feedmill") / name
        place.mkdir(parents=True, exist_ok=True)
        os.chown(place, user, user)
    objects = kustomize.build(LOCAL)
    first = [one for one in objects if one["kind"] == "Namespace"]
    first += [one for one in objects if one["kind"] == "Service" and one["metadata"]["name"] == "gateway"]
    kubectl("apply", "--filename", "-", given="\n---\n".join(map(json.dumps, first)))
    create_secrets()
    address = got("service", "gateway", "--namespace", APPS)["spec"]["clusterIP"]
    with tempfile.TemporaryDirectory() as folder:
        merged = {"name": "feedmill-settings", "namespace": APPS, "behavior": "merge"}
        kustomization = {
            "resources": [os.path.relpath(LOCAL, folder)],
            "configMapGenerator": [{**merged, "literals": [f"FEEDMILL_PUBLIC_URL=http://{address}"]}],
        }
        Path(folder, "kustomization.yaml").write_text(json.dumps(kustomization))
        kubectl("apply", "--kustomize", folder)
    started = time.monotonic()
    kubectl("wait", "--namespace", APPS, "--for=condition=Complete", "job", "--all", f"--timeout={READY}")
    kubectl("wait", "--namespace", APPS, "--for=condition=Available", "deployment", "--all", f"--timeout={READY}")
    say(f"all pods ready after {time.monotonic() - started:.0f} s")
    return f"http://{address}"


def restarts() -> dict[str, int]:
    """Return how often the containers of each pod of ours have been restarted."""
    found: Counter[str] = Counter()
    for one in got("pods", "--namespace", APPS)["items"]:
        for status in one["status"].get("containerStatuses", []):
            found[one["metadata"]["name"]] += status["restartCount"]
    return dict(found)


class Load:
    """Readers that send requests until they are stopped. It counts answers by status."""

    def __init__(self, base_url: str) -> None:
        self.answers: Counter[str] = Counter()
        self._base_url = base_url
        self._is_over = False

    @property
    def failed(self) -> dict[str, int]:
        """Answers other than 200, and errors of connections."""
        return {name: count for name, count in self.answers.items() if name != "200"}

    async def prepare(self) -> None:
        """Make a post, and people who read it."""
        async with Api(self._base_url) as api:
            tag = secrets.token_hex(4)
            names = [f"reader{number}_{tag}" for number in range(READERS)]
            self._readers: list[Account] = [await api.register(name, secrets.token_urlsafe(12)) for name in names]
            author = await api.register(f"author_{tag}", secrets.token_urlsafe(12))
            for reader in self._readers:
                await api.call("POST", f"/users/{author.user_id}/follow", reader)
            self._post_id = await api.post_photo(author, paint("sea", 1), "Under load")
            await api.settled(f"/posts/{self._post_id}/status", author)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send requests until the block ends, and until there were enough."""
        before = self.answers.total()
        self._is_over = False
        # A connection for each request: nginx closes idle ones when it ends, and a client may be using one again.
        limits = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(base_url=f"{self._base_url}/v1", timeout=30, limits=limits) as http:
            tasks = [asyncio.create_task(self._call(http, number)) for number in range(CALLERS)]
            try:
                yield
                while self.answers.total() - before < REQUESTS:  # noqa: ASYNC110 - any number of requests pass
                    await asyncio.sleep(0.1)
            finally:
                self._is_over = True
                await asyncio.gather(*tasks)

    async def _call(self, http: httpx2.AsyncClient, number: int) -> None:
        reader, next_feed = self._readers[number], 0.0
        while not self._is_over:
            path = f"/posts/{self._post_id}"
            if time.monotonic() >= next_feed:
                path, next_feed = "/feed", time.monotonic() + 2  # a reader may ask 60 times a minute
            try:
                answer = await http.get(path, headers=reader.headers if path == "/feed" else {})
                self.answers[str(answer.status_code)] += 1
            except httpx2.HTTPError as error:
                self.answers[type(error).__name__] += 1


async def restart_all() -> None:
    """Restart every Deployment, one after the other."""
    for one in got("deployments", "--namespace", APPS)["items"]:
        name = one["metadata"]["name"]
        await waits("rollout", "restart", "--namespace", APPS, f"deployment/{name}")
        await waits("rollout", "status", "--namespace", APPS, f"deployment/{name}", f"--timeout={READY}")
        say(f"{name} restarted")


async def evict() -> None:
    """Evict a pod, as a drain of its node does."""
    label = f"app.kubernetes.io/name={EVICTED}"
    (name, *_) = (one["metadata"]["name"] for one in got("pods", "--namespace", APPS, "--selector", label)["items"])
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": APPS}}
    await waits("scale", "--namespace", APPS, f"deployment/{EVICTED}", "--replicas=2")
    await waits("rollout", "status", "--namespace", APPS, f"deployment/{EVICTED}", f"--timeout={READY}")
    path = f"/api/v1/namespaces/{APPS}/pods/{name}/eviction"
    await asyncio.to_thread(kubectl, "create", "--raw", path, "--filename", "-", given=json.dumps(eviction))
    await waits("wait", "--namespace", APPS, "--for=delete", f"pod/{name}", "--timeout=2m")
    await waits("rollout", "status", "--namespace", APPS, f"deployment/{EVICTED}", f"--timeout={READY}")


async def scale() -> None:
    """Wait until the HPA makes a second pod, and until it is ready. The CPU of the load is far above its target."""
    hpa = f"hpa/{SCALED}"
    await waits("wait", "--namespace", APPS, hpa, "--for=jsonpath={.status.desiredReplicas}=2", "--timeout=5m")
    await waits("rollout", "status", "--namespace", APPS, f"deployment/{SCALED}", f"--timeout={READY}")


async def kill_store() -> None:
    """Kill the pod of a store, and wait until everything is ready again. No other pod may be restarted."""
    before = restarts()
    kubectl("delete", "pod", "--namespace", STORES, f"{KILLED}-0", "--grace-period=0", "--force")
    kubectl("rollout", "status", "--namespace", STORES, f"statefulset/{KILLED}", f"--timeout={READY}")
    kubectl("wait", "--namespace", APPS, "--for=condition=Available", "deployment", "--all", f"--timeout={READY}")
    if (after := restarts()) != before:
        raise RunError(f"restarts: {before} before, {after} after {KILLED} was killed")


async def under_load(load: Load, what: str, during: Callable[[], Awaitable[None]]) -> None:
    """Do something under load. Raises RunError if a request fails."""
    load.answers.clear()
    async with load.running():
        await during()
    say(f"{what}: {load.answers.total()} requests, failed: {load.failed or 'none'}")
    if load.failed:
        raise RunError(f"{what} failed requests")


async def run(given: argparse.Namespace) -> None:
    """Run all steps. Raises RunError."""
    if given.load:
        load_images(given.load)
    base_url = apply()
    await journey(base_url)
    load = Load(base_url)
    await load.prepare()
    await under_load(load, "every Deployment restarted", restart_all)
    await under_load(load, f"a pod of {EVICTED} evicted", evict)
    if "metrics.k8s.io" in kubectl("api-versions"):
        await under_load(load, f"a step of the HPA of {SCALED}", scale)
    else:
        say("the cluster has no metrics, so no HPA was tried")
    await kill_store()
    await journey(base_url)
    say(f"{KILLED} killed: it returned, and nothing else was restarted")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.k8s.run", description=__doc__)
    parser.add_argument("--load", help="a command that loads an image, such as `kind load image-archive`")
    try:
        asyncio.run(run(parser.parse_args()))
    except RunError as error:
        sys.exit(f"run-k8s: {error}")


if __name__ == "__main__":
    main()
