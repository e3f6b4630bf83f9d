"""Numbered migration files. Each runs once; a file that changed after it ran is refused."""

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
    """A migration file has a wrong name, or was changed after it ran."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A file of statements; `name` consists of its folder and file name."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self) -> list[str]:
        """The single statements, without comments."""
        bare = re.sub(r"^\s*--.*$", "", self.text, flags=re.MULTILINE)
        return [part.strip() for part in bare.split(";") if part.strip()]


class MigrationStore(Protocol):
    """A keyspace or database whose schema this process has locked."""

    suffix: str
    """The suffix of its migration files: `cql` or `sql`."""

    async def applied(self) -> Mapping[str, str]:
        """The checksums of the migrations that ran, by name."""

    async def apply(self, migration: Migration) -> None:
        """Run the file and record it. After a crash it may run again."""


async def migrate(opened: AbstractAsyncContextManager[MigrationStore], folder: Path) -> list[str]:
    """Run the pending migrations in order, and return their names. Safe to run twice, and in two processes at once.

    Raises:
        MigrationError: a file was changed after it ran, or has a wrong name.
    """
    async with opened as store:
        migrations = pending(load(folder, store.suffix), await store.applied())
        for migration in migrations:
            await store.apply(migration)
    return [migration.name for migration in migrations]


def load(folder: Path, suffix: str) -> list[Migration]:
    """The shared migrations of this kind of store, then those in the folder, each ordered by number."""
    paths = [*sorted(SHARED.glob(f"*.{suffix}")), *sorted(folder.glob(f"*.{suffix}"))]
    for path in paths:
        if not _NAME.fullmatch(path.name):
            raise MigrationError(f"{path.name}: not NNNN_name.{suffix}")
    return [Migration(f"{path.parent.name}/{path.name}", path.read_text()) for path in paths]


def pending(migrations: Sequence[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """The migrations that did not run yet. Raises MigrationError for a file that was changed after it ran."""
    for migration in migrations:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(f"{migration.name} was changed after it ran; write a new migration instead")
    return [migration for migration in migrations if migration.name not in applied]
