"""The environment and `.env`, read once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """The checkout, its state directory, and every variable of the environment and `.env`."""

    root: Path
    state_dir: Path
    values: Mapping[str, str]

    @classmethod
    def load(cls, root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> "Settings":
        """The process environment wins over `.env`, as in docker compose."""
        values = {**parse_env_file(root / ".env"), **environ}
        return cls(root, Path(values.get("FEEDMILL_STATE_DIR", root / ".feedmill")).absolute(), values)

    def get(self, name: str) -> str | None:
        return self.values.get(f"FEEDMILL_{name}") or None

    def pinned_ports(self) -> dict[str, int]:
        """FEEDMILL_MEDIA_WORKER_PORT=9000 pins the port named `media-worker`."""
        return {
            _port_name(key): _port_number(key, value)
            for key, value in self.values.items()
            if key.startswith("FEEDMILL_") and key.endswith("_PORT") and key != "FEEDMILL_PORT" and value
        }


def parse_env_file(path: Path) -> dict[str, str]:
    """KEY=value lines; `#` lines, `export` and one pair of surrounding quotes are allowed."""
    if not path.exists():
        return {}
    lines = (line.strip().removeprefix("export ") for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): _unquote(value.strip()) for key, _, value in pairs}


def _unquote(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def _port_name(key: str) -> str:
    return key.removeprefix("FEEDMILL_").removesuffix("_PORT").lower().replace("_", "-")


def _port_number(key: str, value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise DevstackError(f"{key}={value} is no port number")
    return int(value)
