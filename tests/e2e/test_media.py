"""Media through the gateway: they go with the last post that shows them."""

import pytest

from libs.common.testing.eventually import eventually
from ops.client import Account, Api
from tests.e2e.world import assert_problem, ready_media, stranger

pytestmark = pytest.mark.stack


async def posted(api: Api, author: Account, media_id: str) -> str:
    return str((await api.call("POST", "/posts", author, json={"media_ids": [media_id]}))["post_id"])


async def test_pictures_go_with_the_last_post_that_shows_them(api: Api) -> None:
    author = await stranger(api)
    media_id = await ready_media(api, author)
    urls: dict[str, str] = (await api.call("GET", f"/media/{media_id}", author))["urls"]
    first, second = [await posted(api, author, media_id) for _ in range(2)]

    async def is_in_use() -> bool:
        return (await api.send("DELETE", f"/media/{media_id}", author)).status_code == 409

    async def is_gone() -> bool:
        return (await api.send("GET", f"/media/{media_id}", author)).status_code == 404

    await eventually(is_in_use)
    await api.call("DELETE", f"/posts/{first}", author)
    assert (await api.http.get(urls["large"])).status_code == 200
    await api.call("DELETE", f"/posts/{second}", author)
    await eventually(is_gone)
    assert (await api.http.get(urls["small"])).status_code == 404  # the edge has not cached this one
    assert_problem(await api.send("DELETE", f"/media/{media_id}", author), 404)

    async def is_refused() -> bool:
        answer = await api.send("POST", "/posts", author, json={"media_ids": [media_id]})
        return answer.status_code == 422

    await eventually(is_refused)


async def test_an_upload_that_nobody_posted_can_be_deleted(api: Api) -> None:
    author, reader = await stranger(api), await stranger(api)
    media_id = await ready_media(api, author)
    assert_problem(await api.send("DELETE", f"/media/{media_id}", reader), 404)
    assert (await api.send("DELETE", f"/media/{media_id}", author)).status_code == 204
    assert_problem(await api.send("GET", f"/media/{media_id}", author), 404)


async def test_an_avatar_stays_with_its_profile(api: Api) -> None:
    author = await stranger(api)
    media_id = await ready_media(api, author)
    await api.call("PATCH", f"/users/{author.user_id}", author, json={"avatar_media_id": media_id})
    assert_problem(await api.send("DELETE", f"/media/{media_id}", author), 409, "media_in_use")
