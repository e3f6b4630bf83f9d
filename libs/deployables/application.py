"""The entry point of a deployable: `python -m services.post [serve|migrate]`."""

import argparse
import asyncio
import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from fastapi import APIRouter, FastAPI
from pydantic import ValidationError
from starlette.types import ASGIApp

from libs.common.core.logging import configure_logging, get_logger
from libs.common.core.settings import faults
from libs.common.stores.migrations import load, migrate
from libs.common.stores.rate import RateLimit
from libs.common.web.app import Compose, S, create_app
from libs.common.web.server import serve
from libs.deployables import BY_NAME, Deployable, Store, service_urls
from libs.telemetry.tracing import configure_tracing

ROOT = Path(__file__).parents[2]
SUFFIXES: Mapping[Store, str] = {"cassandra": "cql", "postgres": "sql"}
log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Application(Generic[S]):
    """A composed deployable of libs/deployables. The fields are arguments of `create_app`."""

    name: str
    settings: type[S]
    compose: Compose[S]
    routers: Sequence[APIRouter] = ()
    body_limits: Mapping[str, int] | None = None
    eventless: Sequence[str] = ()
    limits: Callable[[S], Mapping[str, RateLimit]] | None = None
    middleware: Callable[[ASGIApp], ASGIApp] | None = None

    @property
    def declared(self) -> Deployable:
        """Return the row of libs/deployables."""
        return BY_NAME[self.name]

    def build(self, settings: S) -> FastAPI:
        """The ASGI application."""
        store = self.declared.store
        return create_app(
            self.name,
            settings,
            self.compose,
            self.routers,
            body_limits=self.body_limits or {},
            eventless=self.eventless,
            limits=self.limits(settings) if self.limits else None,
            middleware=self.middleware,
            urls={name: url for name, url in service_urls().items() if name in self.declared.calls},
            groups=self.declared.consumes,
            migrations=[one.name for one in load(self._migrations, SUFFIXES[store])] if store else (),
        )

    async def migrate(self, settings: S) -> list[str]:
        """Bring the deployable's tables up to date. Return the names of the migrations that ran."""
        store = self.declared.store
        if store is None:
            return []
        # imported by name: a deployable installs the driver of its own store only
        adapter: Any = importlib.import_module(f"libs.common.stores.{store}")
        opened = getattr(adapter, f"{store}_migrations")(settings, settings.keyspace(self.name))
        return await migrate(opened, self._migrations)

    @property
    def _migrations(self) -> Path:
        return ROOT.joinpath(*self.declared.module.split("."), "migrations")

    def main(self) -> None:
        """Run the command line."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.declared.module}")
        parser.add_argument("command", nargs="?", choices=["serve", "migrate"], default="serve")
        command = parser.parse_args().command
        try:
            settings = self.settings()
        except ValidationError as error:
            sys.exit("; ".join(faults(error)))
        configure_logging(self.name, settings.log_level, settings.internal_secret.get_secret_value())
        configure_tracing(self.name, settings.instance, settings.otlp_endpoint, settings.trace_ratio)
        if command == "migrate":
            started = time.monotonic()
            try:
                ran = asyncio.run(self.migrate(settings))
            except Exception as error:
                sys.exit(f"migrating {self.name} failed: {error!r}")
            log.info("migrated", ran=ran, seconds=round(time.monotonic() - started, 2))
        else:
            serve(self.build(settings), settings)
