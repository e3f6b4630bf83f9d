"""A deployable whose work is not done before it is told to stop: `python -m tests.faults.stopping`."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, FastAPI, Request

from libs.common.core.settings import Settings
from libs.common.kafka.consumer import ConsumerRunner, Delivery
from libs.common.kafka.producer import EventProducer
from libs.common.web.app import Runtime, create_app, run

POLL_S = 0.02


class StoppingSettings(Settings):
    """Common settings and these."""

    in_hand: str = "ends"
    """`ends` when the process is told to stop, or `stays` for ever."""


def build(settings: StoppingSettings) -> FastAPI:
    router = APIRouter()

    @router.get("/work")
    async def work(request: Request) -> str:
        print("asked", flush=True)
        await told(request.app)
        return "done"

    async def told(app: FastAPI) -> None:
        while app.state.stop_by is None or settings.in_hand == "stays":
            await asyncio.sleep(POLL_S)

    async def compose(app: FastAPI, runtime: Runtime) -> None:
        async def handle(deliveries: Sequence[Delivery]) -> None:
            print("in hand", flush=True)
            await told(app)
            print(*("handled " + delivery.payload.key() for delivery in deliveries), sep="\n", flush=True)

        producer = await runtime.stack.enter_async_context(EventProducer(settings, "stopping"))
        runner = ConsumerRunner(settings, "stopping", ["users"], handle, producer)
        runtime.ready_checks["users"] = runner.assigned
        runtime.start("users", runner.run())

    return create_app("stopping", settings, compose, [router])


if __name__ == "__main__":
    run("stopping", StoppingSettings, build)
