"""Liveness, readiness and metrics."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from libs.common.web.runtime import Runtime


def health_router(runtime_of: Callable[[], Runtime[Any] | None]) -> APIRouter:
    """Routes for operators and probes. `runtime_of` returns None until the deployable has started."""
    router = APIRouter(include_in_schema=False)

    @router.get("/health/live")
    async def live() -> Response:
        runtime = runtime_of()
        alive = runtime is None or runtime.live()  # while it waits for a store at the start, too
        return JSONResponse({"live": alive}, 200 if alive else 503)

    @router.get("/health/ready")
    async def ready(request: Request) -> Response:
        runtime = runtime_of()
        checks = await runtime.readiness() if runtime else {"started": False}
        if request.app.state.stop_by is not None:
            checks["shutting_down"] = False
        return JSONResponse({"ready": all(checks.values()), "checks": checks}, 200 if all(checks.values()) else 503)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        # Only the OpenMetrics format has exemplars.
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), media_type=content_type)

    return router
