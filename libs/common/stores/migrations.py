"""Numbered migration files and the check that none was changed after it ran."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.(sql|cql)")
SHARED = Path(__file__).parent / "shared_migrations"


class MigrationError(RuntimeError):
    """The files and the store's history do not fit."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self) -> list[str]:
        """The single statements; comments are dropped."""
        bare = re.sub(r"^\s*--.*$", "", self.text, flags=re.MULTILINE)
        return [part.strip() for part in bare.split(";") if part.strip()]


def load(folder: Path, suffix: str) -> list[Migration]:
    """The shared migrations of this kind of store, then the folder's own, each in order of number."""
    paths = [*sorted(SHARED.glob(f"*.{suffix}")), *sorted(folder.glob(f"*.{suffix}"))]
    for path in paths:
        if not _NAME.fullmatch(path.name):
            raise MigrationError(f"{path.name}: not NNNN_name.{suffix}")
    return [Migration(f"{path.parent.name}/{path.name}", path.read_text()) for path in paths]


def pending(migrations: Sequence[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """What is still to run.

    Raises:
        MigrationError: a file that ran is not what it was.
    """
    for migration in migrations:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(f"{migration.name} was changed after it ran; write a new migration instead")
    return [migration for migration in migrations if migration.name not in applied]
