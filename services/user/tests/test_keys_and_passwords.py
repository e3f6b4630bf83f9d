"""Keys, tokens, passwords, requests."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import jwt
import pytest
from argon2 import PasswordHasher as Argon2
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from libs.common.core.context import Caller, set_caller
from libs.common.core.errors import OverloadedError, TooManyInProgressError, UnauthorizedError
from libs.common.core.fairness import FairSemaphore
from libs.common.core.settings import Settings
from libs.common.testing import settings_for
from libs.common.testing.eventually import eventually
from libs.common.web.auth import TokenVerifier
from services.user.api.schemas import LoginRequest, ProfileRequest, RegisterRequest
from services.user.security.keys import FIRST_KEY, KeyFolder, SigningKey, ensure_key
from services.user.security.passwords import NICENESS, Argon2Hasher, hashing_gate


async def test_a_signed_token_names_its_person(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path)
    token = keys.sign(1, 2, "user", datetime.now(UTC))
    principal = await TokenVerifier(keys).verify(token)
    assert (principal.user_id, principal.session_id) == (1, 2)
    assert jwt.decode(token, options={"verify_signature": False})["role"] == "user"


async def test_a_token_of_another_folder_is_refused(tmp_path: Path) -> None:
    stranger = KeyFolder(tmp_path / "other").sign(1, 2, "user", datetime.now(UTC))
    with pytest.raises(UnauthorizedError):
        await TokenVerifier(KeyFolder(tmp_path / "ours")).verify(stranger)


async def test_of_linked_keys_the_last_name_signs(tmp_path: Path) -> None:
    """As Kubernetes mounts a Secret: all files are written again, and the folder contains links to them."""
    volume = tmp_path / "volume"
    volume.mkdir()
    for at, name in ((2, "0-next.pem"), (1, "2026-01.pem")):
        key = tmp_path / "data" / name
        KeyFolder(key.parent / str(at))
        (key.parent / str(at) / FIRST_KEY).rename(key)
        os.utime(key, (at, at))
        (volume / name).symlink_to(key)
    keys = KeyFolder(volume)
    signed = jwt.get_unverified_header(keys.sign(1, 2, "user", datetime.now(UTC)))["kid"]
    assert signed == SigningKey.load(volume / "2026-01.pem").kid
    assert len(keys.published()) == 2


async def test_the_newest_key_signs_and_all_are_published(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path)
    old = keys.sign(1, 2, "user", datetime.now(UTC))
    ensure_key(tmp_path / "next")
    (tmp_path / "next" / FIRST_KEY).rename(tmp_path / "second.pem")
    later = (tmp_path / FIRST_KEY).stat().st_mtime + 1
    os.utime(tmp_path / "second.pem", (later, later))
    assert len(keys.published()) == 2
    new = keys.sign(1, 2, "user", datetime.now(UTC))
    assert new.split(".")[0] != old.split(".")[0]
    for token in (old, new):
        assert await TokenVerifier(keys).verify(token)


def _other_kind(path: Path) -> None:
    pem = Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nMC4CAQAw"),
        _other_kind,
        lambda path: path.symlink_to("gone"),
    ],
    ids=["half copied", "of another kind", "gone since it was listed"],
)
async def test_a_file_that_is_no_key_stops_nothing(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    keys = KeyFolder(tmp_path / "keys")
    spoil(tmp_path / "keys" / "second.pem")
    assert len(keys.published()) == 1
    assert await TokenVerifier(keys).verify(keys.sign(1, 2, "user", datetime.now(UTC)))
    assert KeyFolder(tmp_path / "keys").published() == keys.published()
    (tmp_path / "keys" / FIRST_KEY).unlink()
    assert len(keys.published()) == 1
    with pytest.raises(RuntimeError, match="no usable key"):
        KeyFolder(tmp_path / "keys")


def test_those_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda _: str(KeyFolder(tmp_path / "keys").published()), range(8)))
    assert len(set(published)) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == [FIRST_KEY]
    assert (tmp_path / "keys" / FIRST_KEY).stat().st_mode & 0o777 == 0o600


def gate(*, rate_limits: bool = True) -> FairSemaphore:
    return hashing_gate(settings_for(Settings, {}, rate_limits=rate_limits))


async def test_passwords_verify_and_nobody_has_none() -> None:
    hasher = await Argon2Hasher.create(gate(), Argon2(time_cost=1, memory_cost=64, parallelism=1))
    kept = await hasher.hash("correct horse")
    assert await hasher.verify(kept, "correct horse")
    assert not await hasher.verify(kept, "battery staple")
    assert not await hasher.verify(None, "correct horse")


class SlowArgon2(Argon2):
    """Hashes until told."""

    def __init__(self) -> None:
        super().__init__()
        self.running, self.most, self.go = 0, 0, Event()

    async def two_run(self) -> bool:
        return self.running == 2

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        if self.go.is_set():
            return "hash"
        self.running += 1
        self.most = max(self.most, self.running)
        self.go.wait(20)
        self.running -= 1
        return "hash"


async def test_two_hash_eight_wait_and_all_others_are_refused_at_once() -> None:
    argon2 = SlowArgon2()
    hasher = Argon2Hasher(argon2, "", gate(rate_limits=False))
    tasks = [asyncio.create_task(hasher.hash("x")) for _ in range(11)]
    with pytest.raises(OverloadedError):
        await tasks.pop()
    tasks[0].cancel()  # who goes does not stop the thread, so nobody else begins, and eight wait as before
    await asyncio.wait(tasks[:1])
    late = asyncio.create_task(hasher.hash("x"))
    await asyncio.sleep(0)
    assert isinstance(late.exception(), OverloadedError)
    await eventually(argon2.two_run)
    argon2.go.set()
    hashes = await asyncio.gather(*tasks, return_exceptions=True)
    assert hashes[1:] == ["hash"] * 9
    assert argon2.most == 2


class TellingArgon2(Argon2):
    """Hashes to the priority that it runs at."""

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        return str(os.getpriority(os.PRIO_PROCESS, 0))


async def test_the_event_loop_goes_before_hashing() -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert await Argon2Hasher(TellingArgon2(), "", gate()).hash("x") == str(min(19, usual + NICENESS))
    assert os.getpriority(os.PRIO_PROCESS, 0) == usual


async def test_one_address_leaves_hashing_to_others() -> None:
    argon2 = SlowArgon2()
    hasher = Argon2Hasher(argon2, "", gate())
    set_caller(Caller(None, "192.0.2.1"))
    tasks = [asyncio.create_task(hasher.hash("x")) for _ in range(9)]
    with pytest.raises(TooManyInProgressError):
        await tasks.pop()
    set_caller(Caller(None, "192.0.2.2"))
    tasks.append(asyncio.create_task(hasher.hash("x")))
    argon2.go.set()
    assert await asyncio.gather(*tasks) == ["hash"] * 9
    set_caller(None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "ab"},
        {"username": "with space"},
        {"password": "short"},
        {"password": " " * 8},
        {"password": "\u00a0" * 8},
        {"password": "nul\0inside"},
        {"password": "lone\ud800surrogate"},
        {"email": None},
        {"username": "Admin"},
        {"password": " ada_1@example.org "},
        {"username": "longer_name", "password": "LONGER_NAME"},
        {"email": "nowhere"},
        {"password": "password"},
        {"password": "BaseBall"},
        {"password": "12345678"},
        {"email": "<a@b.c>"},
        {"email": "a@-.-"},
        {"email": "a\u202e@example.org"},
        {"email": "a\x01@example.org"},
        {"phone": "0123456789"},
        {"display_name": "a\0b"},
        {"display_name": " "},
        {"display_name": "to\u202eright"},
        {"is_admin": True},
    ],
)
def test_what_cannot_register(wrong: dict[str, object]) -> None:
    good = {"username": "Ada_1", "password": "long enough", "email": "Ada_1@Example.org"}
    assert RegisterRequest.model_validate(good).username == "ada_1"
    assert RegisterRequest.model_validate(good).email == "ada_1@example.org"
    with pytest.raises(ValidationError):
        RegisterRequest.model_validate({**good, **wrong})


def test_a_login_has_one_name() -> None:
    for name in ("login", "email", "username"):
        assert LoginRequest.model_validate({name: "ada", "password": "x"}).name() == "ada"
    for names in ({}, {"login": "ada", "email": "ada"}):
        with pytest.raises(ValidationError):
            LoginRequest.model_validate({**names, "password": "x"})


def test_an_avatar_is_set_only_when_named() -> None:
    assert not ProfileRequest.model_validate({"bio": "x"}).change().sets_avatar
    assert ProfileRequest.model_validate({"avatar_media_id": None}).change().sets_avatar


def test_a_bio_has_lines_and_no_other_control_characters() -> None:
    assert ProfileRequest.model_validate({"bio": "two\nlines"}).bio == "two\nlines"
    with pytest.raises(ValidationError):
        ProfileRequest.model_validate({"bio": "esc\x1b[1m"})
