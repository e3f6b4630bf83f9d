"""Routes for other services."""

from fastapi import APIRouter

from libs.common.runtime.auth import CallingService
from services.interaction.api import Api
from services.interaction.schemas import MarksRequest, PostMarks

router = APIRouter(prefix="/internal", include_in_schema=False)


@router.post("/marks")
async def marks(wanted: MarksRequest, _: CallingService, api: Api) -> dict[str, list[PostMarks]]:
    """Counts and the reader's marks, for each post asked for."""
    return {"marks": await api.marks.of(wanted.reader_id, wanted.post_ids)}
