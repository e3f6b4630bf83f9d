"""Dependencies of the routes."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from libs.common.stores.idempotency import Idempotency
from libs.common.web.app import use_cases
from services.interaction.service.interactions import Comments, LikesAndSaves
from services.interaction.service.reconciliation import Reconciler


@dataclass(frozen=True, slots=True)
class InteractionUseCases:
    """The use cases, as composed in `__main__`."""

    marks: LikesAndSaves
    comments: Comments
    reconciler: Reconciler
    idempotency: Idempotency


UseCases = Annotated[InteractionUseCases, Depends(use_cases)]
