"""Apache Kafka, one node, broker and controller in one (KRaft)."""

import base64
import signal
import struct
import subprocess
import uuid
from pathlib import Path

from devstack import ports
from devstack.errors import DevstackError
from devstack.java import jars_dir, java
from devstack.stores.base import Home, StoreName

METADATA_V4, CORRELATION_ID = 3, 7
PROXY_PORT = "kafka-proxy"  # advertised to clients of the proxy; the broker itself does not listen there


class Kafka:
    """Ready when its metadata lists a broker."""

    name: StoreName = "kafka"
    port_names = ("kafka", "kafka-controller", "kafka-detour", PROXY_PORT)
    stop_signal = signal.SIGTERM

    def prepare(self, home: Home) -> None:
        home.render("log4j2.properties")
        properties = home.render(
            "kafka.properties",
            port=home.ports["kafka"],
            controller_port=home.ports["kafka-controller"],
            detour_port=home.ports["kafka-detour"],
            proxy_port=home.ports[PROXY_PORT],
            data_dir=home.data_dir,
        )
        if not (home.data_dir / "meta.properties").exists():
            self._format(properties)

    def command(self, home: Home) -> list[str]:
        logging = (home.config_dir / "log4j2.properties").as_uri()
        return [
            *_java(),
            "-Xms256m",
            "-Xmx512m",
            f"-Dkafka.logs.dir={home.data_dir}",
            f"-Dlog4j2.configurationFile={logging}",
            "kafka.Kafka",
            str(home.config_dir / "kafka.properties"),
        ]

    def is_ready(self, home: Home) -> bool:
        """A metadata answer that lists the broker: only then is it past its own start."""
        header = struct.pack(">hhih", METADATA_V4, 4, CORRELATION_ID, -1)
        no_topics = struct.pack(">ib", 0, 0)
        request = header + no_topics
        answer = ports.exchange(home.ports["kafka"], struct.pack(">i", len(request)) + request, size=16)
        if len(answer) < 16:
            return False
        _, correlation_id, _, broker_count = struct.unpack(">iiii", answer)
        return bool(correlation_id == CORRELATION_ID and broker_count > 0)

    def endpoint(self, home: Home) -> str:
        return f"127.0.0.1:{home.ports['kafka']}"

    def _format(self, properties: Path) -> None:
        command = [*_java(), "kafka.tools.StorageTool", "format", "-t", _cluster_id(), "-c", str(properties)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise DevstackError(f"kafka could not format its data folder: {done.stdout}{done.stderr}")


def _java() -> list[str]:
    return [java(), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars_dir('kafka')}/*"]


def _cluster_id() -> str:
    """16 random bytes; a leading `-` would read as an option."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
