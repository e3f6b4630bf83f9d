"""Numbered migration files, run once each; a file that changed after it ran is refused."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.(sql|cql)")
SHARED = Path(__file__).parent / "shared_migrations"


class MigrationError(RuntimeError):
    """A migration file is misnamed, or changed after it ran."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of statements; `name` is its folder and file name."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self) -> list[str]:
        """The statements one by one, without comments."""
        bare = re.sub(r"^\s*--.*$", "", self.text, flags=re.MULTILINE)
        return [part.strip() for part in bare.split(";") if part.strip()]


class MigrationStore(Protocol):
    """A keyspace or database whose schema this process has locked."""

    suffix: str
    """Of its files: `cql` or `sql`."""

    async def applied(self) -> Mapping[str, str]:
        """Name and checksum of each migration that ran."""

    async def apply(self, migration: Migration) -> None:
        """Run the file and record it. May run again when the process died half-way."""


async def migrate(opened: AbstractAsyncContextManager[MigrationStore], folder: Path) -> list[str]:
    """Run what is pending, in order; the names of what ran. Safe to run twice, and by two processes at once.

    Raises:
        MigrationError: a file that ran has changed, or has a wrong name.
    """
    async with opened as store:
        todo = pending(load(folder, store.suffix), await store.applied())
        for migration in todo:
            await store.apply(migration)
    return [migration.name for migration in todo]


def load(folder: Path, suffix: str) -> list[Migration]:
    """The shared migrations of this kind of store, then the folder's own, each in order of number."""
    paths = [*sorted(SHARED.glob(f"*.{suffix}")), *sorted(folder.glob(f"*.{suffix}"))]
    for path in paths:
        if not _NAME.fullmatch(path.name):
            raise MigrationError(f"{path.name}: not NNNN_name.{suffix}")
    return [Migration(f"{path.parent.name}/{path.name}", path.read_text()) for path in paths]


def pending(migrations: Sequence[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """Those that did not run yet. Raises MigrationError for one that changed after it ran."""
    for migration in migrations:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(f"{migration.name} was changed after it ran; write a new migration instead")
    return [migration for migration in migrations if migration.name not in applied]
