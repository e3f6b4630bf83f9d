"""The user service: accounts, sessions, profiles and the follow graph."""

from functools import partial

from libs.clients.media import MediaClient
from libs.common.kafka.consumer import GatheringRunner
from libs.common.stores.rate import RateLimit
from libs.common.web.database import open_database
from libs.common.web.limits import MINUTE_S
from libs.common.web.revocation import RedisRevokedSessions
from libs.common.web.runtime import GATHER_MS, Runtime
from libs.deployables.application import Application
from libs.invalidation import Invalidation, InvalidationStamps
from libs.media.paths import SecretPaths
from services.user import internal
from services.user.api import routers
from services.user.api.use_cases import UserUseCases
from services.user.clients import HttpAvatarSource
from services.user.consumers import UserConsumers
from services.user.security.keys import KeyFolder
from services.user.security.passwords import Argon2Hasher, hashing_gate
from services.user.security.refresh_tokens import HmacRefreshTokens
from services.user.security.verifier import SessionVerifier
from services.user.service.accounts import Accounts
from services.user.service.audiences import Audiences
from services.user.service.blocks_and_mutes import BlocksAndMutes
from services.user.service.events import edge_records
from services.user.service.graph import FollowGraph
from services.user.service.profiles import Profiles
from services.user.service.reconciliation import CountReconciliation
from services.user.service.session_count import SessionCount
from services.user.settings import UserSettings
from services.user.stores.cached import CachedProfileStore, CachedSessionStore
from services.user.stores.postgres_accounts import PostgresAccountStore
from services.user.stores.postgres_audience import PostgresAudienceStore
from services.user.stores.postgres_graph import PostgresGraphStore
from services.user.stores.postgres_lists import PostgresPeopleLists
from services.user.stores.postgres_profiles import PostgresAuthoredPostStore
from services.user.stores.postgres_reconciliation import PostgresAccountCountStore

AUTH_BODY_BYTES = 8 * 1024  # the largest, a registration with an escaped password of 128 characters, has less than 2 KB


async def compose(runtime: Runtime[UserSettings]) -> UserUseCases:
    """Open the stores, start the consumer and compose the use cases."""
    settings = runtime.settings
    secret = settings.internal_secret.get_secret_value()
    stamps = InvalidationStamps(runtime.redis, settings)
    database = await open_database(runtime, stamps.try_invalidate)
    postgres, outbox = database.postgres, database.outbox
    sessions, keys = CachedSessionStore(postgres), KeyFolder(settings.jwt_keys_dir)
    runtime.token_verifier = SessionVerifier(keys, sessions)
    media = HttpAvatarSource(MediaClient(runtime.client("media")))
    profiles = Profiles(CachedProfileStore(postgres, SecretPaths(secret), stamps), media, outbox)
    mode_changed = partial(stamps.try_write, Invalidation(followees=True))
    audiences = Audiences(PostgresAudienceStore(postgres), settings.push_threshold, mode_changed)
    graph, lists = PostgresGraphStore(postgres, edge_records(outbox)), PostgresPeopleLists(postgres)
    accounts = Accounts(
        PostgresAccountStore(postgres),
        sessions,
        await Argon2Hasher.create(hashing_gate(settings)),
        keys,
        HmacRefreshTokens(secret),
        RedisRevokedSessions(runtime.redis, settings),
        outbox,
        database.mint,
    )
    runtime.start("session-count", SessionCount(sessions).run())
    authored = PostgresAuthoredPostStore(postgres)
    await runtime.consume(
        "user-posts", UserConsumers(authored).on_posts, runner=GatheringRunner, serves_without=True, gather_ms=GATHER_MS
    )
    return UserUseCases(
        accounts,
        profiles,
        FollowGraph(graph, lists, profiles, audiences, outbox),
        BlocksAndMutes(graph, lists, profiles, audiences, outbox),
        audiences,
        CountReconciliation(PostgresAccountCountStore(postgres), authored),
        keys,
    )


APPLICATION = Application(
    name="user",
    settings=UserSettings,
    compose=compose,
    routers=[*routers, internal.router],
    body_limits={"/v1/auth/": AUTH_BODY_BYTES},
    eventless=[f"/v1/auth/{name}" for name in ("login", "refresh", "logout", "password", "sessions/")],
    limits=lambda settings: {
        "POST /v1/auth/register": RateLimit(
            "registrations", settings.registrations_a_minute, MINUTE_S, per_address=True
        )
    },
)

if __name__ == "__main__":
    APPLICATION.main()
