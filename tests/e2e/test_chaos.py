"""What `make chaos` would say if something were lost, or there twice."""

import pytest

from chaos.load import Person, Promises
from chaos.verdict import settle
from ops.client import Api
from tests.e2e.world import Someone, follow, publish

pytestmark = pytest.mark.stack


async def test_what_was_promised_and_is_not_there_is_told(
    api: Api, someone: Someone, monkeypatch: pytest.MonkeyPatch
) -> None:
    author, reader = await someone(), await someone()
    await follow(api, reader, author)
    await follow(api, author, reader)
    people = [Person(one, b"", "") for one in (author, reader)]
    kept, deleted = await publish(api, author, 2)
    await api.call("POST", f"/posts/{kept}/like", reader)
    await api.call("POST", f"/posts/{kept}/comments", reader, json={"text": "first"})
    true = Promises([kept, deleted], {kept: {reader.user_id}}, {kept: 1})
    assert await settle(api, people, true) == (0, 0)

    monkeypatch.setattr("chaos.verdict.SETTLED_S", 0)
    more_likes = Promises(true.posts, {kept: {reader.user_id, author.user_id}}, true.comments)
    assert await settle(api, people, more_likes) == (1, 0)
    assert await settle(api, people, Promises(true.posts, true.likes)) == (0, 1)
    await api.call("DELETE", f"/posts/{deleted}", author)
    assert await settle(api, people, true) == (len(people) + 1, 0)
