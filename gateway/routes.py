"""Maps paths to services. The first route that matches wins. A path without a route is 404."""

import re

from libs.deployables import Route, routes

ROUTES = tuple(routes())
UNMATCHED = "unmatched"
NAMES = frozenset(("/", "/docs", "/v1/openapi.json", UNMATCHED, *(route.path for route in ROUTES)))
"""What logs and metrics call the places that answer: few, whatever clients ask for."""


def find(path: str) -> Route | None:
    """Return the route of a normalised path, or None."""
    return next((route for route in ROUTES if re.search(route.pattern, path)), None)
