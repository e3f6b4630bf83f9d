"""Routes for other services."""

import orjson
from fastapi import APIRouter, Response

from libs.common.web.auth import CallingService
from libs.contracts.internal.interaction import CountsAnswer, CountsRequest, MarksRequest
from services.interaction.api.use_cases import UseCases

router = APIRouter(prefix="/internal", include_in_schema=False)


@router.post("/marks")
async def marks(wanted: MarksRequest, _: CallingService, api: UseCases) -> Response:
    """Return `{"marks": [PostMarks, …]}`, in the order of the request."""
    found = await api.marks.of(wanted.reader_id, wanted.post_ids)
    return Response(orjson.dumps({"marks": [one.__dict__ for one in found]}), media_type="application/json")


@router.post("/counts/audit")
async def audit(wanted: CountsRequest, _: CallingService, api: UseCases) -> CountsAnswer:
    """Return counts from the records, from the ledger, and from the cache that readers see."""
    return CountsAnswer(posts=await api.reconciler.compare(wanted.post_ids))


@router.post("/counts/mend")
async def mend(wanted: CountsRequest, _: CallingService, api: UseCases) -> CountsRequest:
    """Request a recount of the posts. The counters worker does it after the answer."""
    await api.reconciler.reconcile(wanted.post_ids)
    return wanted
