"""Accounts and sessions in PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg

from libs.common.core.errors import ConflictError
from libs.common.stores.postgres import Connection, Postgres
from libs.common.stores.postgres_outbox import PostgresOutbox
from libs.contracts.records import EventRecord
from services.user.domain.accounts import (
    ATTEMPT_LIFE,
    REFRESH_TOKEN_LIFE,
    Contact,
    Credentials,
    DeviceSession,
    EarlierRegistration,
    Login,
    NewAccount,
    RefreshTokenState,
    Rotation,
    RotationResult,
    rotation_result,
)
from services.user.errors import (
    EmailTakenError,
    InvalidCredentialsError,
    PhoneTakenError,
    UsernameTakenError,
    WrongPasswordError,
)
from services.user.ports import MakeRecord

_TAKEN: dict[str, type[ConflictError]] = {
    "users_username_taken": UsernameTakenError,
    "users_email_taken": EmailTakenError,
    "users_phone_taken": PhoneTakenError,
}
_CREDENTIALS = "SELECT user_id, role, password_hash, banned_at IS NOT NULL AS banned FROM users"
_BY_LOGIN = {kind: f"{_CREDENTIALS} WHERE {kind} = $1" for kind in ("username", "email", "phone")}
# Feed lists lost the posts of a banned author. After an unban, readers pull them as if the author had left pull mode.
_SET_BANNED = """
UPDATE users SET banned_at = CASE WHEN $2 THEN $3::timestamptz END, version = greatest(version + 1, $4),
    left_pull_at = CASE WHEN $2 THEN left_pull_at ELSE $3 END
WHERE user_id = $1 AND (banned_at IS NULL) = $2 RETURNING version
"""
_IS_ACTIVE = """
SELECT 1 FROM sessions JOIN users USING (user_id) WHERE session_id = $2 AND user_id = $1
    AND revoked_at IS NULL AND expires_at > $3 AND banned_at IS NULL
"""
# Pages by the primary key. An index on expires_at would make each refresh of a token write to all indexes.
_COUNT_USABLE = """
SELECT count(*) FILTER (WHERE revoked_at IS NULL AND expires_at > $3
        AND user_id NOT IN (SELECT user_id FROM users WHERE banned_at IS NOT NULL)) AS usable_count,
    count(*) AS count, max(session_id) AS last_id
FROM (SELECT * FROM sessions WHERE session_id > $1 ORDER BY session_id LIMIT $2) AS page
"""

_PRESENTED = """
SELECT token.expires_at, token.used_at,
    successor.token_hash IS NOT NULL AND successor.used_at IS NULL AS successor_unused
FROM refresh_tokens token
LEFT JOIN refresh_tokens successor ON successor.token_hash = $2 AND successor.session_id = token.session_id
WHERE token.token_hash = $1
"""


@asynccontextmanager
async def _unique() -> AsyncIterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise _TAKEN[error.constraint_name] from error


async def _insert_session(connection: Connection, session: DeviceSession, token_hash: bytes) -> None:
    expires_at = session.created_at + REFRESH_TOKEN_LIFE
    await connection.execute(
        "INSERT INTO sessions (session_id, user_id, user_agent, created_at, last_used_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $4, $5)",
        session.session_id,
        session.user_id,
        session.user_agent,
        session.created_at,
        expires_at,
    )
    await _insert_token(connection, session.session_id, token_hash, expires_at)


async def _insert_token(connection: Connection, session_id: int, token_hash: bytes, expires_at: datetime) -> None:
    sql = "INSERT INTO refresh_tokens (token_hash, session_id, expires_at) VALUES ($1, $2, $3)"
    await connection.execute(sql, token_hash, session_id, expires_at)


class PostgresAccountStore:
    """Implements `ports.AccountStore`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def open(self, account: NewAccount, session: DeviceSession, token_hash: bytes, record: EventRecord) -> None:
        async with _unique(), self._postgres.transaction() as connection:
            await connection.execute(
                "INSERT INTO users (user_id, username, display_name, email, phone, password_hash, version, created_at)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                account.user_id,
                account.username,
                account.display_name,
                account.email,
                account.phone,
                account.password_hash,
                account.version,
                account.created_at,
            )
            await _insert_session(connection, session, token_hash)
            if attempt := account.attempt:
                sql = "DELETE FROM registrations WHERE created_at < $1"
                await connection.execute(sql, account.created_at - ATTEMPT_LIFE)
                place = (attempt.key, account.username, account.user_id, attempt.form_hash, account.created_at)
                await connection.execute("INSERT INTO registrations VALUES ($1, $2, $3, $4, $5)", *place)
            await PostgresOutbox.insert(connection, [record])

    async def registered(self, key: str, username: str) -> EarlierRegistration | None:
        sql = "SELECT user_id, form_hash FROM registrations WHERE key = $1 AND username = $2"
        row = await self._postgres.fetchrow(sql, key, username)
        return EarlierRegistration(**row) if row else None

    async def credentials(self, login: Login) -> Credentials | None:
        row = await self._postgres.fetchrow(_BY_LOGIN[login.kind], login.value)
        return Credentials(**row) if row else None

    async def credentials_of(self, user_id: int) -> Credentials | None:
        row = await self._postgres.fetchrow(f"{_CREDENTIALS} WHERE user_id = $1", user_id)
        return Credentials(**row) if row else None

    async def contact(self, user_id: int) -> Contact | None:
        row = await self._postgres.fetchrow("SELECT username, email, phone FROM users WHERE user_id = $1", user_id)
        return Contact(**row) if row else None

    async def set_password(
        self, user_id: int, verified_hash: str, new_hash: str, current_session_id: int, now: datetime
    ) -> list[int]:
        async with self._postgres.transaction() as connection:
            sql = "UPDATE users SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2 RETURNING 1"
            if await connection.fetchval(sql, user_id, verified_hash, new_hash) is None:
                raise WrongPasswordError
            ended = await connection.fetch(
                "UPDATE sessions SET revoked_at = $3 WHERE user_id = $1 AND session_id <> $2 AND revoked_at IS NULL"
                " RETURNING session_id",
                user_id,
                current_session_id,
                now,
            )
            return [row["session_id"] for row in ended]

    async def set_banned(self, user_id: int, now: datetime, record: MakeRecord, *, banned: bool) -> list[EventRecord]:
        async with self._postgres.transaction() as connection:
            now_us = int(now.timestamp() * 1_000_000)
            version = await connection.fetchval(_SET_BANNED, user_id, banned, now, now_us)
            if version is None:
                return []
            records = [record(version)]
            await PostgresOutbox.insert(connection, records)
            return records


class PostgresSessionStore:
    """Implements `ports.SessionStore`."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def start(self, session: DeviceSession, token_hash: bytes, verified_hash: str) -> None:
        async with self._postgres.transaction() as connection:
            # The share lock waits for a concurrent password change or ban, and makes later ones wait.
            sql = "SELECT 1 FROM users WHERE user_id = $1 AND password_hash = $2 AND banned_at IS NULL FOR SHARE"
            if await connection.fetchval(sql, session.user_id, verified_hash) is None:
                raise InvalidCredentialsError
            sql = "DELETE FROM sessions WHERE user_id = $1 AND expires_at <= $2"
            await connection.execute(sql, session.user_id, session.created_at)
            await _insert_session(connection, session, token_hash)

    async def rotate(self, token_hash: bytes, next_hash: bytes, now: datetime) -> Rotation:
        async with self._postgres.transaction() as connection:
            # Lock the session's row first, like every other change of a session.
            row = await connection.fetchrow(
                "SELECT session_id, user_id, role, revoked_at IS NULL AND banned_at IS NULL AS is_active"
                " FROM sessions JOIN users USING (user_id)"
                " WHERE session_id = (SELECT session_id FROM refresh_tokens WHERE token_hash = $1)"
                " FOR UPDATE OF sessions",
                token_hash,
            )
            if row is None:
                return Rotation(RotationResult.INVALID)
            token = await connection.fetchrow(_PRESENTED, token_hash, next_hash)
            if token is None:
                return Rotation(RotationResult.INVALID)
            state = RefreshTokenState(
                token["expires_at"], token["used_at"], row["is_active"], token["successor_unused"]
            )
            result = rotation_result(state, now)
            if result is RotationResult.ROTATED:
                await self._replace(connection, row["session_id"], next_hash, now)
            elif result is RotationResult.REUSED:
                sql = "UPDATE sessions SET revoked_at = $2 WHERE session_id = $1"
                await connection.execute(sql, row["session_id"], now)
            return Rotation(result, row["user_id"], row["session_id"], row["role"])

    @staticmethod
    async def _replace(connection: Connection, session_id: int, next_hash: bytes, now: datetime) -> None:
        expires_at = now + REFRESH_TOKEN_LIFE
        # Marks all unused tokens, not only this one: older versions may have issued several.
        sql = "UPDATE refresh_tokens SET used_at = $2 WHERE session_id = $1 AND used_at IS NULL"
        await connection.execute(sql, session_id, now)
        sql = "DELETE FROM refresh_tokens WHERE session_id = $1 AND expires_at <= $2"
        await connection.execute(sql, session_id, now)
        await _insert_token(connection, session_id, next_hash, expires_at)
        sql = "UPDATE sessions SET last_used_at = $2, expires_at = $3 WHERE session_id = $1"
        await connection.execute(sql, session_id, now, expires_at)

    async def is_active(self, user_id: int, session_id: int, now: datetime) -> bool:
        return await self._postgres.fetchrow(_IS_ACTIVE, user_id, session_id, now) is not None

    async def end(self, user_id: int, session_id: int, now: datetime) -> bool:
        sql = (
            "UPDATE sessions SET revoked_at = $3 WHERE session_id = $2 AND user_id = $1"
            " AND revoked_at IS NULL AND expires_at > $3 RETURNING 1"
        )
        return await self._postgres.fetchrow(sql, user_id, session_id, now) is not None

    async def end_by_token(self, token_hash: bytes, now: datetime) -> int | None:
        sql = (
            "UPDATE sessions SET revoked_at = $2 WHERE revoked_at IS NULL"
            " AND session_id = (SELECT session_id FROM refresh_tokens WHERE token_hash = $1) RETURNING session_id"
        )
        row = await self._postgres.fetchrow(sql, token_hash, now)
        return row["session_id"] if row else None

    async def active(self, user_id: int, below_id: int | None, limit: int, now: datetime) -> list[DeviceSession]:
        rows = await self._postgres.fetch(
            "SELECT session_id, user_id, user_agent, created_at, last_used_at FROM sessions"
            " WHERE user_id = $1 AND ($2::bigint IS NULL OR session_id < $2) AND revoked_at IS NULL"
            " AND expires_at > $4 ORDER BY session_id DESC LIMIT $3",
            user_id,
            below_id,
            limit,
            now,
        )
        return [DeviceSession(**row) for row in rows]

    async def count_usable(self, after_id: int | None, limit: int, now: datetime) -> tuple[int, int | None]:
        row = await self._postgres.fetchrow(_COUNT_USABLE, -1 if after_id is None else after_id, limit, now)
        if row is None:
            return 0, None
        return row["usable_count"], row["last_id"] if row["count"] == limit else None
