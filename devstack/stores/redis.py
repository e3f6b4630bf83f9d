"""Redis."""

import signal

from devstack import ports
from devstack.stores.base import Home, StoreName


class Redis:
    """Ready when it answers PING."""

    name: StoreName = "redis"
    port_names = ("redis",)
    stop_signal = signal.SIGTERM

    def prepare(self, home: Home) -> None:
        home.render("redis.conf", port=home.ports["redis"], data_dir=home.data_dir)

    def command(self, home: Home) -> list[str]:
        return ["redis-server", str(home.config_dir / "redis.conf")]

    def is_ready(self, home: Home) -> bool:
        """An error answer instead of PONG means that it is still loading its file."""
        return ports.exchange(home.ports["redis"], b"PING\r\n", size=5) == b"+PONG"

    def endpoint(self, home: Home) -> str:
        return f"redis://127.0.0.1:{home.ports['redis']}/0"
