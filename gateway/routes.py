"""Which service answers which path. The first route that matches wins; a path that no route matches is 404."""

import re

from libs.deployables import Route, routes

ROUTES = tuple(routes())


def find(path: str) -> Route | None:
    """The route of a normalised path."""
    return next((route for route in ROUTES if re.search(route.pattern, path)), None)
