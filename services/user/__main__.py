"""The user service, put together."""

from pathlib import Path

from fastapi import FastAPI

from libs.common.kafka.consumer import ConsumerRunner
from libs.common.kafka.outbox import Outbox
from libs.common.kafka.producer import EventProducer
from libs.common.stores.postgres import PostgresNodeLeases, PostgresOutbox, open_postgres
from libs.common.stores.postgres import migrate as migrate_postgres
from libs.common.stores.rate import Limit
from libs.common.web.app import Runtime, create_app, run
from libs.common.web.limits import MINUTE_S
from libs.common.web.revocation import Shutouts
from libs.invalidation import Acts
from libs.media.paths import SecretPaths
from services.user import internal
from services.user.api import routers
from services.user.clients import HttpMediaLibrary
from services.user.consumers import POSTS_GROUP, CountPosts
from services.user.keys import KeyFolder
from services.user.passwords import Argon2Hasher, hashing_gate
from services.user.refresh_tokens import RefreshTokens
from services.user.service.accounts import Accounts
from services.user.service.audiences import Audiences
from services.user.service.barriers import Barriers
from services.user.service.events import PRODUCER
from services.user.service.graph import Graph
from services.user.service.profiles import Profiles
from services.user.service.tallies import Tallies
from services.user.settings import UserSettings
from services.user.stores.kept import KeptProfileStore, KeptSessionStore
from services.user.stores.postgres_accounts import PostgresAccountStore
from services.user.stores.postgres_audience import PostgresAudienceStore
from services.user.stores.postgres_graph import PostgresGraphStore
from services.user.stores.postgres_lists import PostgresPeopleLists
from services.user.stores.postgres_profiles import PostgresAuthoredStore
from services.user.stores.postgres_tallies import PostgresTallyStore
from services.user.verifier import SessionVerifier

NAME = "user"
MIGRATIONS = Path(__file__).parent / "migrations"


def build(settings: UserSettings) -> FastAPI:
    """The application."""

    async def compose(app: FastAPI, runtime: Runtime) -> None:
        postgres = await runtime.stack.enter_async_context(open_postgres(settings, settings.keyspace(NAME)))
        producer = await runtime.stack.enter_async_context(EventProducer(settings, PRODUCER))
        acts = Acts(runtime.redis, settings)

        async def mark(people: set[int], outdated: set[int]) -> None:
            await acts.try_mark(people, outdated, people | outdated)

        outbox = Outbox(PostgresOutbox(postgres), producer, mark)
        minter = await runtime.minter(PostgresNodeLeases(postgres))
        sessions, keys = KeptSessionStore(postgres), KeyFolder(settings.jwt_keys_dir)
        paths = SecretPaths(settings.internal_secret.get_secret_value())
        media = HttpMediaLibrary(runtime.client("media"))
        profiles = Profiles(KeptProfileStore(postgres, paths, acts), media, outbox)
        audiences = Audiences(PostgresAudienceStore(postgres), settings.push_threshold)
        graph, lists = PostgresGraphStore(postgres), PostgresPeopleLists(postgres)
        hasher = await Argon2Hasher.create(hashing_gate(settings))

        app.state.settings = settings
        app.state.keys = keys
        app.state.token_verifier = SessionVerifier(keys, sessions)
        app.state.profiles = profiles
        shutouts = Shutouts(runtime.redis, settings)
        app.state.accounts = Accounts(
            PostgresAccountStore(postgres),
            sessions,
            hasher,
            keys,
            RefreshTokens(settings.internal_secret.get_secret_value()),
            shutouts,
            outbox,
            minter.mint,
        )
        app.state.audiences = audiences
        app.state.graph = Graph(graph, lists, profiles, audiences, outbox)
        app.state.barriers = Barriers(graph, lists, profiles, audiences, outbox)

        authored = PostgresAuthoredStore(postgres)
        app.state.tallies = Tallies(PostgresTallyStore(postgres), authored)

        posts = ConsumerRunner(settings, POSTS_GROUP, ["posts"], CountPosts(authored), producer)
        runtime.relay(outbox)
        runtime.start(POSTS_GROUP, posts.run())
        runtime.ready_checks["postgres"] = postgres.ready
        runtime.ready_checks[POSTS_GROUP] = posts.settled

    registering = Limit("registrations", settings.registrations_a_minute, MINUTE_S, of_address=True)
    return create_app(
        NAME, settings, compose, (*routers, internal.router), limits={"POST /v1/auth/register": registering}
    )


async def migrate(settings: UserSettings) -> None:
    """Bring the database up to date."""
    await migrate_postgres(settings, settings.keyspace(NAME), MIGRATIONS)


if __name__ == "__main__":
    run(NAME, UserSettings, build, migrate)
