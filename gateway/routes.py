"""Which service answers which path, as data. The first route that matches wins; what no route matches is 404."""

import re
from dataclasses import dataclass
from typing import Literal

from gateway.settings import Service

# json: a small body. account: a smaller one. upload: a file, streamed through. cached: public bytes, kept at the edge.
Handling = Literal["json", "account", "upload", "cached"]


@dataclass(frozen=True, slots=True)
class Route:
    """A path template and everything below it."""

    path: str
    service: Service
    handling: Handling = "json"

    @property
    def pattern(self) -> str:
        """A regular expression that means the same to nginx and to Python."""
        parts = ("[^/]+" if part.startswith("{") else re.escape(part) for part in self.path.split("/"))
        return f"^{'/'.join(parts)}(?:/|$)"


ROUTES = (
    Route("/.well-known/jwks.json", "user"),
    Route("/v1/auth", "user", "account"),
    Route("/v1/users/{id}/posts", "post"),
    Route("/v1/users", "user"),
    Route("/v1/followers", "user"),
    Route("/v1/follow-requests", "user"),
    Route("/v1/blocks", "user"),
    Route("/v1/mutes", "user"),
    Route("/v1/posts/{id}/like", "interaction"),
    Route("/v1/posts/{id}/likes", "interaction"),
    Route("/v1/posts/{id}/save", "interaction"),
    Route("/v1/posts/{id}/comments", "interaction"),
    Route("/v1/posts/{id}/view", "interaction"),
    Route("/v1/posts", "post"),
    Route("/v1/hashtags", "post"),
    Route("/v1/comments", "interaction"),
    Route("/v1/saved", "interaction"),
    Route("/v1/media/uploads", "media", "upload"),
    Route("/v1/media", "media"),
    Route("/v1/m/{prefix}/{user_id}/{media_id}/{secret}/{name}", "media", "cached"),
    Route("/v1/feed", "feed"),
)


def find(path: str) -> Route | None:
    """The route of a normalised path."""
    return next((route for route in ROUTES if re.search(route.pattern, path)), None)
