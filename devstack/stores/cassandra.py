"""Apache Cassandra, one node."""

import signal
import struct

from devstack import ports
from devstack.java import jars_dir, java
from devstack.stores.base import Home, StoreName

CQL_V4, OPTIONS, SUPPORTED = 0x04, 0x05, 0x06

# `group` answers a write only when it is on the disk, at most one window later; `periodic` answers at once.
SYNC_GROUP = "commitlog_sync: group\ncommitlog_sync_group_window: 5ms"
SYNC_PERIODIC = "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms"


class Cassandra:
    """Ready when it answers a CQL OPTIONS frame."""

    name: StoreName = "cassandra"
    port_names = ("cassandra", "cassandra-storage", "cassandra-ssl-storage")
    stop_signal = signal.SIGTERM

    def prepare(self, home: Home) -> None:
        logback = home.render("logback.xml")
        config = home.render(
            "cassandra.yaml",
            port=home.ports["cassandra"],
            storage_port=home.ports["cassandra-storage"],
            ssl_storage_port=home.ports["cassandra-ssl-storage"],
            data_dir=home.data_dir,
            commitlog_sync=SYNC_GROUP if home.durable else SYNC_PERIODIC,
        )
        home.render(
            "cassandra.args",
            jars_dir=jars_dir("cassandra"),
            data_dir=home.data_dir,
            config_uri=f"file://{config.as_uri().removeprefix('file:')}",
            logback_uri=logback.as_uri(),
            unsafe_system=str(not home.durable).lower(),
        )

    def command(self, home: Home) -> list[str]:
        class_path = f"{home.config_dir}:{jars_dir('cassandra')}/*"
        arguments = f"@{home.config_dir / 'cassandra.args'}"
        return [java(), arguments, "-cp", class_path, "org.apache.cassandra.service.CassandraDaemon"]

    def is_ready(self, home: Home) -> bool:
        answer = ports.exchange(home.ports["cassandra"], struct.pack(">BBhBi", CQL_V4, 0, 0, OPTIONS, 0), size=9)
        return len(answer) == 9 and answer[4] == SUPPORTED

    def endpoint(self, home: Home) -> str:
        return f"127.0.0.1:{home.ports['cassandra']}"
