"""The number of sessions, as a metric."""

import asyncio

from libs.common.core.logging import get_logger
from libs.contracts.base import utc_now
from libs.telemetry.metrics import gauge
from services.user.ports import SessionStore
from services.user.service.events import Clock

COUNT_EVERY_S = 60.0
SESSIONS_A_PAGE = 20_000  # PostgreSQL reads them in about 5 ms, so no request waits for the count
PAUSE_S = 0.1  # after each page, so the count uses at most a tenth of a connection
SESSIONS = gauge("feedmill_user_sessions")
log = get_logger(__name__)


class SessionCount:
    """Counts the sessions whose refresh token can still be used, page by page."""

    def __init__(self, sessions: SessionStore, clock: Clock = utc_now, page: int = SESSIONS_A_PAGE) -> None:
        self._sessions = sessions
        self._clock = clock
        self._page = page

    async def run(self) -> None:
        """Count every minute until cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(COUNT_EVERY_S)

    async def poll(self) -> None:
        """Count once and set the metric. Without PostgreSQL it keeps its value; never raises."""
        total, after_id = 0, None
        try:
            while True:
                usable_count, after_id = await self._sessions.count_usable(after_id, self._page, self._clock())
                total += usable_count
                if after_id is None:
                    break
                await asyncio.sleep(PAUSE_S)
        except Exception as error:
            log.warning("sessions_not_counted", error=repr(error))
            return
        SESSIONS.set(total)
