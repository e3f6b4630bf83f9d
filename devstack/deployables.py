"""What `up` starts, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Deployable:
    """A process of Feedmill; `name` is what `status` and `logs` call it."""

    name: str
    module: str
    env: Mapping[str, str] = field(default_factory=dict)

    def migrates(self, root: Path) -> bool:
        """Whether `python -m <module> migrate` must run first: its room holds migrations."""
        return (root / self.module.replace(".", "/") / "migrations").is_dir()


DEPLOYABLES = (
    Deployable("user", "services.user"),
    Deployable("media", "services.media"),
    Deployable("post", "services.post"),
    Deployable("interaction", "services.interaction"),
    Deployable("feed", "services.feed"),
    Deployable("fanout", "workers.fanout"),
    Deployable("counters", "workers.counters"),
    Deployable("media-worker", "workers.media"),
    Deployable("canary", "ops.canary"),
)

# Every service's address is given to all as FEEDMILL_<NAME>_URL.
ADDRESSED = ("user", "post", "media", "interaction", "feed")

GATEWAY = "gateway"
GATEWAY_PORT = 8080
