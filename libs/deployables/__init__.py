"""The table of deployables: each process of Feedmill is declared here once.

From it come service URLs, the processes that `make up` starts, the routes of the gateway, the consumers of each topic
and the checks of docker-compose.yml. What a deployable does with it stands in its `__main__`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

Store = Literal["cassandra", "postgres"]
Backend = Literal["cassandra", "kafka", "objects", "postgres", "redis"]
Handling = Literal["json", "account", "upload", "cached"]
"""json: a small body. account: a smaller one. upload: a streamed file. cached: public bytes, cached at the edge."""
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")


@dataclass(frozen=True, slots=True)
class Route:
    """A public path template and everything below it."""

    path: str
    handling: Handling = "json"
    service: str = ""

    @property
    def pattern(self) -> str:
        """A regular expression with the same meaning in nginx and in Python."""
        parts = ("[^/]+" if part.startswith("{") else re.escape(part) for part in self.path.split("/"))
        return f"^{'/'.join(parts)}(?:/|$)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployable:
    """One process. Its name is the same in logs, metrics, tokens, events, `make status` and docker-compose.yml.

    Args:
        name: such as `post`.
        module: it runs as `python -m <module>`.
        extra: the lock in requirements/ that it installs.
        port: of a service that others call, where no URL is configured.
        store: where it has tables of its own, with migrations beside its `__main__`.
        calls: names of the services whose HTTP API it calls. It can open no other client.
        uses: what it connects to besides its own store, Kafka for its topics, and Redis, which every process needs.
        produces: topics.
        consumes: consumer group → topics.
        routes: public paths that the gateway sends to it.
    """

    name: str
    module: str
    extra: str = "base"
    port: int | None = None
    store: Store | None = None
    calls: tuple[str, ...] = ()
    uses: tuple[Backend, ...] = ()
    produces: tuple[str, ...] = ()
    consumes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()

    @property
    def backends(self) -> set[Backend]:
        """Return everything that it connects to and that is no service."""
        kafka: set[Backend] = {"kafka"} if self.produces or self.consumes else set()
        return {"redis", *kafka, *([self.store] if self.store else []), *self.uses}


DEPLOYABLES = (
    Deployable(
        name="user",
        module="services.user",
        extra="user",
        port=8001,
        store="postgres",
        calls=("media",),
        produces=("graph", "users"),
        consumes={"user-posts": ("posts",)},
        routes=(
            Route("/.well-known/jwks.json"),
            Route("/v1/auth", "account"),
            Route("/v1/users"),
            Route("/v1/followers"),
            Route("/v1/follow-requests"),
            Route("/v1/blocks"),
            Route("/v1/mutes"),
        ),
    ),
    Deployable(
        name="media",
        module="services.media",
        extra="media",
        port=8003,
        store="cassandra",
        calls=("user",),
        uses=("objects",),
        produces=("media",),
        consumes={"media-status": ("media",), "media-uses": ("posts",)},
        routes=(
            Route("/v1/media/uploads", "upload"),
            Route("/v1/media"),
            Route("/v1/m/{prefix}/{user_id}/{media_id}/{secret}/{name}", "cached"),
        ),
    ),
    Deployable(
        name="post",
        module="services.post",
        extra="cassandra",
        port=8002,
        store="cassandra",
        calls=("user", "media", "interaction"),
        produces=("posts",),
        consumes={"post-publish": ("media",), "post-counts": ("counters",)},
        routes=(Route("/v1/posts"), Route("/v1/users/{id}/posts"), Route("/v1/hashtags")),
    ),
    Deployable(
        name="interaction",
        module="services.interaction",
        extra="cassandra",
        port=8004,
        store="cassandra",
        calls=("user", "post"),
        produces=("interactions",),
        routes=(
            Route("/v1/posts/{id}/like"),
            Route("/v1/posts/{id}/likes"),
            Route("/v1/posts/{id}/save"),
            Route("/v1/posts/{id}/comments"),
            Route("/v1/posts/{id}/view"),
            Route("/v1/comments"),
            Route("/v1/saved"),
        ),
    ),
    Deployable(
        name="feed",
        module="services.feed",
        port=8005,
        calls=("user", "post", "interaction"),
        consumes={"feed": ("graph", "posts", "interactions", "users")},
        routes=(
            Route("/v1/feed"),
            Route("/v1/feed/updates"),  # these have figures of their own
            Route("/v1/feed/position"),
            Route("/v1/feed/explain"),
        ),
    ),
    Deployable(
        name="fanout",
        module="workers.fanout",
        calls=("user",),
        produces=("feed.fanout", "feed.fanout.slow"),
        consumes={
            "fanout": ("posts",),
            "fanout-chunks": ("feed.fanout",),
            "fanout-slow-chunks": ("feed.fanout.slow",),
        },
    ),
    Deployable(
        name="counters",
        module="workers.counters",
        extra="cassandra",
        uses=("cassandra",),  # the keyspace of the interaction service
        produces=("counters",),
        consumes={"counters": ("interactions",)},
    ),
    Deployable(
        name="media-worker",
        module="workers.media",
        extra="imaging",
        uses=("objects",),
        produces=("media",),
        consumes={"media-worker": ("media",)},
    ),
    Deployable(name="canary", module="ops.canary", calls=("user", "post", "interaction", "feed"), uses=("kafka",)),
    Deployable(name="gateway-metrics", module="gateway.observer"),
)
BY_NAME: Mapping[str, Deployable] = {one.name: one for one in DEPLOYABLES}
SERVICES = tuple(one for one in DEPLOYABLES if one.port)
"""Those that other deployables and the gateway call."""


def service_urls(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The base URL of each service, from `FEEDMILL_<NAME>_URL` or its port on this machine.

    Raises:
        ValueError: a variable is no `http://host:port`.
    """
    given = {one.name: environ.get(f"FEEDMILL_{one.name.upper()}_URL") for one in SERVICES}
    return {one.name: _base_url(given[one.name] or f"http://127.0.0.1:{one.port}") for one in SERVICES}


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.path.strip("/") or not _ADDRESS.fullmatch(parts.netloc):
        raise ValueError(f"expected http://host:port, not {url}")
    return f"http://{parts.netloc}"


def routes() -> list[Route]:
    """All public routes, those with the most parts first: the gateway takes the first that matches."""
    found = [replace(route, service=service.name) for service in SERVICES for route in service.routes]
    return sorted(found, key=lambda route: (-route.path.count("/"), route.path))


def producers(topic: str) -> list[str]:
    """Names of the deployables that produce to the topic."""
    return [one.name for one in DEPLOYABLES if topic in one.produces]


def consumers(topic: str) -> list[str]:
    """Names of the deployables that consume the topic."""
    return [one.name for one in DEPLOYABLES if any(topic in topics for topics in one.consumes.values())]
