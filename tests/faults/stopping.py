"""A deployable whose work ends only when the process must stop: `python -m tests.faults.stopping`."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI, Request

from libs.common.core.logging import configure_logging
from libs.common.core.settings import Settings
from libs.common.kafka.consumer import ReceivedEvent
from libs.common.web.app import create_app
from libs.common.web.runtime import Runtime
from libs.common.web.server import serve

POLL_S = 0.02


class StoppingSettings(Settings):
    """Common settings and these."""

    in_hand: str = "ends"
    """`ends`: the work ends when the process must stop. `stays`: it never ends."""


def build(settings: StoppingSettings) -> FastAPI:
    router = APIRouter()

    @router.get("/work")
    async def work(_: Request) -> str:
        print("asked", flush=True)
        await told()
        return "done"

    async def told() -> None:
        while app.state.stop_by is None or settings.in_hand == "stays":
            await asyncio.sleep(POLL_S)

    async def compose(runtime: Runtime[StoppingSettings]) -> None:
        async def handle(events: Sequence[ReceivedEvent]) -> None:
            print("in hand", flush=True)
            await told()
            print(*("handled " + event.payload.key() for event in events), sep="\n", flush=True)

        await runtime.consume("stopping", handle)

    app = create_app("stopping", settings, compose, [router], groups={"stopping": ("users",)})
    return app


if __name__ == "__main__":
    configure_logging("stopping", "INFO", "secret")
    serve(build(settings := StoppingSettings()), settings)
