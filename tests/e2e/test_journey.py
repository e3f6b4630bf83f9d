"""What people come for: post a picture, see it in a follower's feed, like it, talk about it."""

import secrets

import pytest

from libs.common.testing.eventually import eventually
from ops.client import Account, Api, Json
from ops.photos import paint
from tests.e2e.world import PASSWORD, Someone, feed_shows, follow, snapshot

pytestmark = pytest.mark.stack


async def engagement(api: Api, reader: Account, post_id: str) -> Json:
    answer: Json = (await api.call("GET", f"/posts/{post_id}", reader))["engagement"]
    return answer


async def test_registering_by_email_and_by_phone(api: Api) -> None:
    tag = secrets.token_hex(6)
    phone = f"+49{secrets.randbelow(10**10):010d}"
    by_email = {"username": f"m_{tag}", "email": f"m_{tag}@example.org", "password": PASSWORD, "display_name": "Mo"}
    by_phone = {"username": f"p_{tag}", "phone": phone, "password": PASSWORD}
    mailed = await api.call("POST", "/auth/register", json=by_email)
    called = await api.call("POST", "/auth/register", json=by_phone)
    assert mailed["user"]["display_name"] == "Mo"
    assert mailed["expires_in"] > 0
    for login, signed_up in ((f"M_{tag}@example.org", mailed), (f"m_{tag}", mailed), (phone, called)):
        account = await api.login(login, PASSWORD)
        me = (await api.call("GET", "/auth/me", account))["user"]
        assert me["user_id"] == signed_up["user"]["user_id"]
    assert me["phone"] == phone
    for taken, code in ((by_email, "username_taken"), ({**by_email, "username": f"n_{tag}"}, "email_taken")):
        response = await api.send("POST", "/auth/register", json=taken)
        assert (response.status_code, response.json()["code"]) == (409, code)


async def test_a_post_travels_to_a_follower_and_back(api: Api, someone: Someone) -> None:
    author, reader = await someone(), await someone()
    await follow(api, reader, author)
    media_id = await api.upload(author, paint("sea", 5))
    media = await api.settled(f"/media/{media_id}", author)
    assert media["status"] == "ready"
    body = {
        "media_ids": [media_id],
        "caption": f"By the sea #Sea with @{reader.username}",
        "location": {"name": "Sylt"},
    }
    created = await api.call("POST", "/posts", author, json=body)
    post_id = created["post_id"]
    assert created["post"]["hashtags"] == ["sea"]
    assert created["post"]["location"]["name"] == "Sylt"
    (shown,) = await feed_shows(api, reader, [post_id])
    assert shown["author"]["username"] == author.username
    assert shown["media"][0]["urls"] == media["urls"]

    liked = await api.call("POST", f"/posts/{post_id}/like", reader)
    assert liked == {"liked": True, "like_count": 1}
    comment = await api.call("POST", f"/posts/{post_id}/comments", reader, json={"text": "Lovely"})
    reply = {"text": "Thanks", "parent_id": comment["comment_id"]}
    await api.call("POST", f"/posts/{post_id}/comments", author, json=reply)
    comments = await api.call("GET", f"/posts/{post_id}/comments", author)
    assert [entry["text"] for entry in comments["comments"]] == ["Lovely"]
    replies = await api.call("GET", f"/posts/{post_id}/comments", author, params={"parent_id": comment["comment_id"]})
    assert [entry["text"] for entry in replies["comments"]] == ["Thanks"]

    async def counted() -> bool:
        counts = await engagement(api, reader, post_id)
        return (counts["like_count"], counts["comment_count"], counts["is_liked"]) == (1, 2, True)

    await eventually(counted)

    async def own_like_in_feed() -> bool:
        (post,) = await feed_shows(api, reader, [post_id])
        return bool(post["engagement"]["is_liked"]) and post["engagement"]["like_count"] == 1

    await eventually(own_like_in_feed)

    async def profile_counts() -> bool:
        profile = await api.call("GET", f"/users/{author.user_id}", reader)
        assert profile["relationship"]["following"]
        return (profile["post_count"], profile["follower_count"]) == (1, 1)

    await eventually(profile_counts)


async def test_a_post_of_several_pictures_in_one_request(api: Api, someone: Someone) -> None:
    author = await someone()
    files = [("image", (f"{i}.jpg", snapshot(i), "image/jpeg")) for i in range(3)]
    response = await api.send("POST", "/posts", author, files=files, data={"caption": "three"})
    assert response.status_code in {201, 202}
    post_id = response.json()["post_id"]
    await api.published(author, post_id)
    post = await api.call("GET", f"/posts/{post_id}", author)
    assert len({media["media_id"] for media in post["media"]}) == 3
    assert post["caption"] == "three"


async def test_editing_a_post(api: Api, someone: Someone) -> None:
    author = await someone()
    post_id = await api.post_photo(author, snapshot(), "before")
    await api.published(author, post_id)
    edited = await api.call("PATCH", f"/posts/{post_id}", author, json={"caption": "after #two"})
    assert (edited["caption"], edited["hashtags"]) == ("after #two", ["two"])
    assert edited["edited_at"] is not None
    assert (await api.call("GET", f"/posts/{post_id}", author))["caption"] == "after #two"
