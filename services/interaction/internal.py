"""Routes for other services."""

from fastapi import APIRouter

from libs.common.web.auth import CallingService
from services.interaction.api.schemas import AuditRequest, MarksRequest
from services.interaction.api.use_cases import UseCases
from services.interaction.service.reconciliation import PostCountComparison
from services.interaction.service.views import PostMarks

router = APIRouter(prefix="/internal", include_in_schema=False)


@router.post("/marks")
async def marks(wanted: MarksRequest, _: CallingService, api: UseCases) -> dict[str, list[PostMarks]]:
    """Counts and the reader's marks, for each post asked for."""
    return {"marks": await api.marks.of(wanted.reader_id, wanted.post_ids)}


@router.post("/counts/audit")
async def audit(wanted: AuditRequest, _: CallingService, api: UseCases) -> dict[str, list[PostCountComparison]]:
    """Counts as the records have them, as they were counted, and as they are kept for readers."""
    return {"posts": await api.reconciler.compare(wanted.post_ids)}


@router.post("/counts/mend")
async def mend(wanted: AuditRequest, _: CallingService, api: UseCases) -> AuditRequest:
    """Have posts counted anew, soon."""
    await api.reconciler.reconcile(wanted.post_ids)
    return wanted
