import re

import pytest

from gateway.routes import ROUTES, find


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/.well-known/jwks.json", "user"),
        ("/v1/auth/login", "user"),
        ("/v1/users", "user"),
        ("/v1/users/1", "user"),
        ("/v1/users/1/follow", "user"),
        ("/v1/users/1/posts", "post"),
        ("/v1/followers/2", "user"),
        ("/v1/follow-requests/2/approve", "user"),
        ("/v1/blocks", "user"),
        ("/v1/mutes", "user"),
        ("/v1/posts", "post"),
        ("/v1/posts/1", "post"),
        ("/v1/posts/1/status", "post"),
        ("/v1/posts/1/like", "interaction"),
        ("/v1/posts/1/likes", "interaction"),
        ("/v1/posts/1/save", "interaction"),
        ("/v1/posts/1/comments", "interaction"),
        ("/v1/posts/1/view", "interaction"),
        ("/v1/hashtags/sun/posts", "post"),
        ("/v1/comments/1/like", "interaction"),
        ("/v1/saved", "interaction"),
        ("/v1/media/upload-url", "media"),
        ("/v1/media/uploads/1", "media"),
        ("/v1/m/a/1/2/s/small.webp", "media"),
        ("/v1/feed", "feed"),
        ("/v1/feed/updates", "feed"),
    ],
)
def test_a_path_goes_to_its_owner(path: str, service: str) -> None:
    route = find(path)
    assert route is not None
    assert route.service == service


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/usersx",
        "/internal/users/batch",
        "/health/ready",
        "/metrics",
        "/v1/unknown",
        "/api/v1/feed",
    ],
)
def test_what_is_not_published_goes_nowhere(path: str) -> None:
    assert find(path) is None


def test_no_route_is_hidden_behind_an_earlier_one() -> None:
    for index, route in enumerate(ROUTES):
        example = re.sub(r"\{\w+\}", "1", route.path)
        assert find(example) is ROUTES[index]
