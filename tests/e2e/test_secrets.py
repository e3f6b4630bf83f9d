"""What nobody may read in a log."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from devstack.environment import common_environ
from devstack.stack import Stack
from ops.client import Account, Api
from tests.e2e.world import assert_problem, snapshot

pytestmark = pytest.mark.stack
JSON = {"Content-Type": "application/json"}


def tokens_of(account: Account) -> list[str]:
    """Return the refresh token and the signature of the access token. Its other parts are no secret."""
    return [account.access_token.rpartition(".")[2], account.refresh_token]


async def signed_in_and_out(api: Api) -> list[str]:
    """Sign in and out in every way. Return the secrets: passwords and tokens, valid and refused."""
    password, new_password, wrong = (f"pass word {secrets.token_hex(8)}" for _ in range(3))
    email = f"e{secrets.token_hex(8)}@example.org"
    account = await api.register(f"u_{secrets.token_hex(8)}", password, email=email)
    logins = [await api.login(login, password) for login in (account.username, email)]
    for body in (
        {"login": account.username, "password": wrong},
        {"login": email, "password": wrong, "otp": wrong},
        {"login": wrong, "password": {"nested": wrong}},
    ):
        assert (await api.send("POST", "/auth/login", json=body)).status_code in {401, 422}
    broken = f'{{"login": "{email}", "password": "{wrong}'.encode()
    assert_problem(await api.send("POST", "/auth/login", content=broken, headers=JSON), 400)
    change = {"current_password": wrong, "new_password": new_password}
    assert_problem(await api.send("POST", "/auth/password", account, json=change), 422)
    change["current_password"] = password
    assert (await api.send("POST", "/auth/password", account, json=change)).status_code == 204
    pair = await api.call("POST", "/auth/refresh", json={"refresh_token": account.refresh_token})
    renewed = Account(account.user_id, account.username, pair["access_token"], pair["refresh_token"])
    assert_problem(await api.send("POST", "/auth/refresh", json={"refresh_token": wrong}), 401)
    for path in ("/feed", "/auth/me", "/saved", "/posts/1"):
        await api.send("GET", path, renewed)
        assert_problem(await api.send("GET", path, headers={"Authorization": f"Bearer {wrong}"}), 401)
    assert (await api.send("POST", "/auth/logout", renewed)).status_code == 204
    held = [token for one in (account, renewed, *logins) for token in tokens_of(one)]
    return [password, new_password, wrong, email, *held]


async def uploaded(api: Api) -> str:
    """Upload an image. Return the signature of the URL, which is all that a PUT needs."""
    who = await api.register(f"u_{secrets.token_hex(8)}", "a long password")
    asked = {"content_type": "image/jpeg", "file_size": len(snapshot())}
    place = await api.call("POST", "/media/upload-url", who, json=asked)
    put = await api.http.put(place["upload_url"], content=snapshot(), headers=place["headers"])
    assert put.status_code == 204
    return str(place["upload_url"].rpartition("signature=")[2])


def own_secrets(stack: Stack) -> Iterator[str]:
    """Yield the secrets of the system itself."""
    environ = common_environ(stack.settings, stack.state, stack.provider().endpoints())
    yield environ["FEEDMILL_INTERNAL_SECRET"]
    yield environ["FEEDMILL_CURSOR_SECRET"]
    for key in Path(environ["FEEDMILL_JWT_KEYS_DIR"]).glob("*.pem"):
        yield key.read_text().splitlines()[1]


def logs(stack: Stack) -> dict[str, str]:
    return {path.name: path.read_text(errors="replace") for path in stack.table.log_path("user").parent.iterdir()}


async def test_no_log_tells_a_secret(stack: Stack, base_url: str) -> None:
    async with Api(base_url) as api:
        told = [*await signed_in_and_out(api), await uploaded(api), *own_secrets(stack)]
    found = logs(stack)
    assert {f"{name}.log" for name in stack.names()} <= set(found)
    assert any(orjson.loads(line).get("route") == "/v1/auth/login" for line in found["user.log"].splitlines())
    leaks = [f"{name}: {secret[:8]}…" for name, text in found.items() for secret in told if secret in text]
    assert leaks == []
