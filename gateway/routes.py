"""Maps paths to services. The first route that matches wins. A path without a route is 404."""

import re

from libs.deployables import Route, routes

ROUTES = tuple(routes())


def find(path: str) -> Route | None:
    """Return the route of a normalised path, or None."""
    return next((route for route in ROUTES if re.search(route.pattern, path)), None)
