"""The internal routes of each service in this process, over its own fakes: no socket is opened."""

from types import SimpleNamespace
from typing import Any, cast

import httpx2
import orjson
from fastapi import APIRouter, FastAPI

from libs.common.core.errors import NotFoundError
from libs.common.web.auth import require_service
from libs.common.web.client import ServiceClient

PUBLIC_URL = "http://feedmill"


class InProcessService:
    """Stands for a `ServiceClient`: the same JSON, without policy and token."""

    def __init__(self, router: APIRouter, use_cases: object) -> None:
        app = FastAPI()
        app.include_router(router)
        app.dependency_overrides[require_service] = lambda: "test"
        app.state.use_cases = use_cases
        app.state.settings = SimpleNamespace(public_url=PUBLIC_URL)
        self._http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service")

    async def get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        return self._json(await self._http.get(path, params=params))

    async def query(self, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        return self._json(await self._http.post(path, content=orjson.dumps(body), headers=headers))

    @staticmethod
    def _json(response: httpx2.Response) -> Any:
        if response.status_code == 404:
            raise NotFoundError
        assert response.status_code == 200, response.text
        return orjson.loads(response.content)


def client_of(router: APIRouter, use_cases: object) -> ServiceClient:
    """As a client class takes it."""
    return cast("ServiceClient", InProcessService(router, use_cases))
