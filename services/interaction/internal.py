"""Routes for other services."""

from fastapi import APIRouter

from libs.common.web.auth import CallingService
from services.interaction.api import Api
from services.interaction.auditing import PostAudit
from services.interaction.schemas import AuditRequest, MarksRequest, PostMarks

router = APIRouter(prefix="/internal", include_in_schema=False)


@router.post("/marks")
async def marks(wanted: MarksRequest, _: CallingService, api: Api) -> dict[str, list[PostMarks]]:
    """Counts and the reader's marks, for each post asked for."""
    return {"marks": await api.marks.of(wanted.reader_id, wanted.post_ids)}


@router.post("/counts/audit")
async def audit(wanted: AuditRequest, _: CallingService, api: Api) -> dict[str, list[PostAudit]]:
    """Counts as the records have them, as they were counted, and as they are kept for readers."""
    return {"posts": await api.auditor.audit(wanted.post_ids)}


@router.post("/counts/mend")
async def mend(wanted: AuditRequest, _: CallingService, api: Api) -> AuditRequest:
    """Have posts counted anew, soon."""
    await api.auditor.mend(wanted.post_ids)
    return wanted
