"""Signing up, in and out, over fakes."""

from dataclasses import replace
from itertools import count

import pytest

from libs.common.core.errors import KeyReusedError, NotFoundError
from libs.common.testing.events import CollectedEvents
from services.user.domain.accounts import REFRESH_TOKEN_LIFE, Credentials, Login, Registration
from services.user.errors import (
    AccountBannedError,
    EmailTakenError,
    InvalidCredentialsError,
    InvalidRefreshTokenError,
    PasswordIsNameError,
    RefreshTokenReusedError,
    UsernameTakenError,
    WrongPasswordError,
)
from services.user.security.refresh_tokens import HmacRefreshTokens
from services.user.service.accounts import Accounts, SignedIn
from services.user.tests.fakes import (
    InMemoryAccountStore,
    InMemorySessionRevoker,
    InMemorySessionStore,
    PlainSigner,
    ReversingHasher,
    SteppingClock,
    World,
    _nothing,
)

ADA = Registration("ada", "correct horse", "ada@example.org", "+441234567890", None)


class House:
    """Accounts over fakes, with everything in reach."""

    def __init__(self) -> None:
        self.world, self.events, self.clock, self.hasher = (
            World(),
            CollectedEvents(),
            SteppingClock(),
            ReversingHasher(),
        )
        self.revoker = InMemorySessionRevoker()
        self.store = InMemorySessionStore(self.world)
        ids = count(1)
        self.account_store = InMemoryAccountStore(self.world, self.store)
        self.accounts = Accounts(
            self.account_store,
            self.store,
            self.hasher,
            PlainSigner(),
            HmacRefreshTokens("a secret"),
            self.revoker,
            self.events,
            lambda: next(ids),
            self.clock,
        )

    async def ada(self) -> SignedIn:
        return await self.accounts.register(ADA, "test")


def session_of(signed_in: SignedIn) -> int:
    return int(signed_in.access_token.split("/")[1])


async def test_registering_opens_an_account_a_session_and_tells_it() -> None:
    house = House()
    signed_in = await house.ada()
    assert house.events.types() == ["user.created"]
    assert house.world.accounts[signed_in.user_id].display_name == "ada"
    assert (await house.accounts.refresh(signed_in.refresh_token)).user_id == signed_in.user_id


async def test_of_the_token_only_the_hash_is_kept() -> None:
    house = House()
    signed_in = await house.ada()
    assert all(len(kept) == 32 and kept != signed_in.refresh_token.encode() for kept in house.world.tokens)


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (Registration("ada", "long enough", "other@example.org", None, None), UsernameTakenError),
        (Registration("other", "long enough", "ada@example.org", None, None), EmailTakenError),
    ],
)
async def test_names_are_taken_once(form: Registration, error: type[Exception]) -> None:
    house = House()
    await house.ada()
    with pytest.raises(error):
        await house.accounts.register(form, "")
    assert house.events.types() == ["user.created"]


async def test_a_registration_whose_answer_was_lost_is_sent_again() -> None:
    house = House()
    first, again = [await house.accounts.register(ADA, "test", "a key") for _ in range(2)]
    assert again.user_id == first.user_id
    assert again.refresh_token != first.refresh_token
    assert house.events.types() == ["user.created"]
    for form in (replace(ADA, password="another password"), replace(ADA, email="other@example.org")):
        with pytest.raises(KeyReusedError):
            await house.accounts.register(form, "test", "a key")
    for key in (None, "another key"):
        with pytest.raises(UsernameTakenError):
            await house.accounts.register(ADA, "test", key)


async def test_a_registration_that_is_sent_twice_at_once_opens_one_account() -> None:
    house = House()

    async def sent_meanwhile() -> None:
        house.account_store.meanwhile = _nothing
        await house.accounts.register(ADA, "test", "a key")

    house.account_store.meanwhile = sent_meanwhile
    signed_in = await house.accounts.register(ADA, "test", "a key")
    assert list(house.world.accounts) == [signed_in.user_id]
    assert house.events.types() == ["user.created"]


async def test_a_registration_that_is_committed_while_its_repeat_looks_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()

    async def sent_meanwhile(login: Login) -> Credentials | None:
        monkeypatch.undo()
        await house.accounts.register(ADA, "test", "a key")
        return await house.account_store.credentials(login)

    monkeypatch.setattr(house.account_store, "credentials", sent_meanwhile)
    signed_in = await house.accounts.register(ADA, "test", "a key")
    assert list(house.world.accounts) == [signed_in.user_id]


async def test_a_taken_username_costs_no_hash_and_an_email_address_does() -> None:
    """Nobody can keep the hasher busy with one name; that an address is known must not show in the time it takes."""
    house = House()
    await house.ada()
    for name, hashed in (("ada", 1), ("other", 2)):
        with pytest.raises((UsernameTakenError, EmailTakenError)):
            await house.accounts.register(Registration(name, "long enough", "ada@example.org", None, None), "")
        assert house.hasher.hashed == hashed


@pytest.mark.parametrize("login", ["ada", " ada ", "ada@example.org ", "ADA", "Ada@Example.org", "+441234567890"])
async def test_login_by_any_name(login: str) -> None:
    house = House()
    signed_in = await house.ada()
    assert (await house.accounts.log_in(login, ADA.password, "")).user_id == signed_in.user_id


@pytest.mark.parametrize("login", ["ada", "nobody", "nobody@example.org"])
async def test_wrong_login_and_wrong_password_look_the_same_and_both_verify(login: str) -> None:
    house = House()
    await house.ada()
    with pytest.raises(InvalidCredentialsError):
        await house.accounts.log_in(login, "wrong password", "")
    assert len(house.hasher.verified) == 1


@pytest.mark.parametrize(
    ("set_as", "given"),
    [("p\u00e4ssw\u00f6rd one", "pa\u0308sswo\u0308rd\u00a0one"), ("a\u2003long one", "a long one")],
)
async def test_a_password_is_the_same_on_every_keyboard(set_as: str, given: str) -> None:
    house = House()
    await house.accounts.register(replace(ADA, password=set_as), "")
    assert await house.accounts.log_in("ada", given, "")
    assert await house.accounts.log_in("ada", set_as, "")


@pytest.mark.parametrize("login", ["ada", "nobody"])
async def test_a_password_from_before_is_tried_as_it_is_for_known_and_unknown_alike(login: str) -> None:
    house, raw = House(), "pa\u0308ssword"
    user_id = (await house.ada()).user_id
    house.world.accounts[user_id] = replace(house.world.accounts[user_id], password_hash=raw[::-1])
    if login == "ada":
        assert await house.accounts.log_in(login, raw, "")
    else:
        with pytest.raises(InvalidCredentialsError):
            await house.accounts.log_in(login, raw, "")
    assert len(house.hasher.verified) == 2


async def test_rotation_gives_a_new_token_each_time() -> None:
    house = House()
    first = await house.ada()
    second = await house.accounts.refresh(first.refresh_token)
    house.clock.step(days=1)
    third = await house.accounts.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3


async def test_a_token_gives_the_same_successor_until_that_is_presented() -> None:
    house = House()
    first = await house.ada()
    second = await house.accounts.refresh(first.refresh_token)
    house.clock.step(days=1)
    again = [await house.accounts.refresh(first.refresh_token) for _ in range(20)]
    assert {pair.refresh_token for pair in again} == {second.refresh_token}
    assert len(house.world.tokens) == 2
    assert await house.accounts.refresh(second.refresh_token)


@pytest.mark.parametrize("older", [0, 1])
async def test_any_older_token_ends_the_family(older: int) -> None:
    """Also the one before, once its successor was presented: of two who hold it, one is a thief."""
    house = House()
    pairs = [await house.ada()]
    for _ in range(3):
        pairs.append(await house.accounts.refresh(pairs[-1].refresh_token))
    with pytest.raises(RefreshTokenReusedError):
        await house.accounts.refresh(pairs[older].refresh_token)
    assert house.revoker.sessions == {session_of(pairs[0])}
    with pytest.raises(InvalidRefreshTokenError):
        await house.accounts.refresh(pairs[-1].refresh_token)


async def test_successors_differ_by_token_and_by_secret() -> None:
    one, other = HmacRefreshTokens("one"), HmacRefreshTokens("other")
    token = one.first()
    assert len({token, one.after(token), one.after(one.after(token)), other.after(token), one.first()}) == 5


async def test_reuse_leaves_other_sessions_alone() -> None:
    house = House()
    first = await house.ada()
    other = await house.accounts.log_in("ada", ADA.password, "other")
    await house.accounts.refresh((await house.accounts.refresh(first.refresh_token)).refresh_token)
    with pytest.raises(RefreshTokenReusedError):
        await house.accounts.refresh(first.refresh_token)
    assert await house.accounts.refresh(other.refresh_token)


@pytest.mark.parametrize("token", [None, "", "unknown"])
async def test_no_token_no_pair(token: str | None) -> None:
    with pytest.raises(InvalidRefreshTokenError):
        await House().accounts.refresh(token)


async def test_an_expired_token_is_dead() -> None:
    house = House()
    signed_in = await house.ada()
    house.clock.now += REFRESH_TOKEN_LIFE
    with pytest.raises(InvalidRefreshTokenError):
        await house.accounts.refresh(signed_in.refresh_token)


async def test_logging_out_ends_the_session_and_may_be_repeated() -> None:
    house = House()
    signed_in = await house.ada()
    for _ in range(2):
        await house.accounts.log_out(signed_in.refresh_token)
    with pytest.raises(InvalidRefreshTokenError):
        await house.accounts.refresh(signed_in.refresh_token)


async def test_logging_out_with_both_tokens_ends_both_sessions() -> None:
    house = House()
    here = await house.ada()
    there = await house.accounts.log_in("ada", ADA.password, "")
    await house.accounts.log_out(there.refresh_token, here.user_id, session_of(here))
    assert house.revoker.sessions == {session_of(here), session_of(there)}
    for signed_in in (here, there):
        with pytest.raises(InvalidRefreshTokenError):
            await house.accounts.refresh(signed_in.refresh_token)


async def test_sessions_page_newest_first_and_end_once() -> None:
    house = House()
    user_id = (await house.ada()).user_id
    for _ in range(2):
        await house.accounts.log_in("ada", ADA.password, "")
    first = await house.accounts.sessions(user_id, None, 2)
    rest = await house.accounts.sessions(user_id, first.last, 2)
    assert len(first.items) == 2
    assert len(rest.items) == 1
    assert rest.last is None
    await house.accounts.end_session(user_id, rest.items[0].session_id)
    assert house.revoker.sessions == {rest.items[0].session_id}
    for session_id in (rest.items[0].session_id, 999):
        with pytest.raises(NotFoundError):
            await house.accounts.end_session(user_id, session_id)


async def test_a_new_password_ends_other_sessions() -> None:
    house = House()
    here = await house.ada()
    there = await house.accounts.log_in("ada", ADA.password, "")
    with pytest.raises(WrongPasswordError):
        await house.accounts.change_password(here.user_id, session_of(here), "not it", "new password")
    await house.accounts.change_password(here.user_id, session_of(here), ADA.password, "new password")
    assert house.revoker.sessions == {session_of(there)}
    assert await house.accounts.refresh(here.refresh_token)
    with pytest.raises(InvalidRefreshTokenError):
        await house.accounts.refresh(there.refresh_token)
    assert await house.accounts.log_in("ada", "new password", "")


@pytest.mark.parametrize("name", ["ADA", " ada@example.org ", "+441234567890"])
async def test_a_new_password_is_none_of_ones_names(name: str) -> None:
    house = House()
    here = await house.ada()
    with pytest.raises(PasswordIsNameError):
        await house.accounts.change_password(here.user_id, session_of(here), ADA.password, name)
    assert await house.accounts.log_in("ada", ADA.password, "")


async def test_a_login_that_was_verified_before_the_password_changed_starts_no_session() -> None:
    house = House()
    here = await house.ada()
    house.hasher.meanwhile = lambda: house.accounts.change_password(
        here.user_id, session_of(here), ADA.password, "new password"
    )
    with pytest.raises(InvalidCredentialsError):
        await house.accounts.log_in("ada", ADA.password, "thief")
    assert [one.session_id for one in (await house.accounts.sessions(here.user_id, None, 9)).items] == [
        session_of(here)
    ]


async def test_a_login_that_was_verified_before_a_ban_starts_no_session() -> None:
    house = House()
    user_id = (await house.ada()).user_id
    house.hasher.meanwhile = lambda: house.accounts.ban(user_id)
    with pytest.raises(InvalidCredentialsError):
        await house.accounts.log_in("ada", ADA.password, "late")


async def test_of_two_changes_of_the_password_at_once_the_first_stays() -> None:
    house = House()
    here = await house.ada()
    there = await house.accounts.log_in("ada", ADA.password, "thief")
    house.hasher.meanwhile = lambda: house.accounts.change_password(
        here.user_id, session_of(here), ADA.password, "of the owner"
    )
    with pytest.raises(WrongPasswordError):
        await house.accounts.change_password(there.user_id, session_of(there), ADA.password, "of the thief")
    assert await house.accounts.refresh(here.refresh_token)
    assert await house.accounts.log_in("ada", "of the owner", "")


@pytest.mark.parametrize("last_banned", [True, False])
async def test_of_a_ban_and_an_unban_at_once_the_last_committed_is_marked(*, last_banned: bool) -> None:
    house = House()
    user_id = (await house.ada()).user_id
    first, last = house.accounts.ban, house.accounts.unban
    if last_banned:
        await first(user_id)
        first, last = last, first
    house.revoker.meanwhile = lambda: last(user_id)
    await first(user_id)
    assert house.revoker.users == ({user_id} if last_banned else set())


async def test_a_banned_account_is_shut_out_and_told_so_only_with_its_password() -> None:
    house = House()
    signed_in = await house.ada()
    for _ in range(2):
        await house.accounts.ban(signed_in.user_id)
    assert house.revoker.users == {signed_in.user_id}
    with pytest.raises(AccountBannedError):
        await house.accounts.log_in("ada", "correct horse", "test")
    with pytest.raises(InvalidCredentialsError):
        await house.accounts.log_in("ada", "wrong horse", "test")
    with pytest.raises(InvalidRefreshTokenError):
        await house.accounts.refresh(signed_in.refresh_token)
    for _ in range(2):
        await house.accounts.unban(signed_in.user_id)
    assert house.revoker.users == set()
    await house.accounts.refresh(signed_in.refresh_token)
    assert house.events.types() == ["user.created", "user.banned", "user.unbanned"]
    with pytest.raises(NotFoundError):
        await house.accounts.ban(999)
