"""The interface of every kind of store."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal, Protocol

StoreName = Literal["kafka", "cassandra", "postgres", "redis"]
TEMPLATES = Path(__file__).parent.parent / "templates"


@dataclass(frozen=True)
class Home:
    """The directory, ports and durability of one store of one StoreSet.

    `durable` means that PostgreSQL and Cassandra lose no acknowledged write by kill -9. Without it Cassandra may lose
    its last ten seconds, the schema included.
    """

    data_dir: Path
    config_dir: Path
    ports: Mapping[str, int]
    durable: bool

    def render(self, template: str, **values: object) -> Path:
        path = self.config_dir / template
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template((TEMPLATES / template).read_text()).substitute({k: str(v) for k, v in values.items()}))
        return path


class Store(Protocol):
    """One kind of store as a plain process."""

    @property
    def name(self) -> StoreName: ...

    @property
    def port_names(self) -> Sequence[str]:
        """Return port names. The first is for clients."""
        ...

    @property
    def stop_signal(self) -> signal.Signals: ...

    def prepare(self, home: Home) -> None:
        """Write the configuration; on an empty data folder also lay out the data."""
        ...

    def command(self, home: Home) -> list[str]: ...

    def is_ready(self, home: Home) -> bool:
        """Whether the store answers a real request."""
        ...

    def endpoint(self, home: Home) -> str: ...
