"""Merges the OpenAPI documents of the services into the one that the gateway publishes."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx2

from gateway import routes

FETCH_S = 10.0
Document = dict[str, Any]
_COMPONENTS = "#/components/"
_DESCRIPTION = "A photo-sharing backend. Ids are decimal strings, times RFC 3339 in UTC, errors problem+json."


class DocumentError(RuntimeError):
    """The services' documents do not make one API."""


def fetch(urls: Mapping[str, str]) -> dict[str, Document]:
    """Fetch the document of every service.

    Raises:
        DocumentError: a service does not answer.
    """
    try:
        with httpx2.Client(timeout=FETCH_S, trust_env=False) as client:
            answers = {name: client.get(f"{url}/openapi.json").raise_for_status() for name, url in urls.items()}
        return {name: answer.json() for name, answer in answers.items()}
    except (httpx2.HTTPError, ValueError) as error:
        raise DocumentError(f"no OpenAPI document: {error}") from error


def merge(documents: Mapping[str, Document]) -> Document:
    """Merge the documents of all services into one.

    Raises:
        DocumentError: two services publish the same route, or one publishes what is not routed to it.
    """
    paths: Document = {}
    components: dict[str, Document] = {}
    operation_ids: set[str] = set()
    for service, original in documents.items():
        document = _without_collisions(service, original, components)
        for section, entries in document.get("components", {}).items():
            components.setdefault(section, {}).update(entries)
        for path, item in document.get("paths", {}).items():
            _check_routed(service, path)
            if path in paths and paths[path].keys() & item.keys():
                raise DocumentError(f"{service} publishes {path}, and so does another service")
            paths.setdefault(path, {}).update(_described(service, item, operation_ids))
    tags = sorted({tag for item in paths.values() for operation in item.values() for tag in operation["tags"]})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Feedmill", "version": "1", "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": dict(sorted(paths.items())),
        "components": {section: dict(sorted(entries.items())) for section, entries in sorted(components.items())},
    }


def _check_routed(service: str, path: str) -> None:
    route = routes.find(path)
    if route is None or route.service != service:
        to = route.service if route else "nobody"
        raise DocumentError(f"{service} publishes {path}, which libs/deployables.py routes to {to}")


def _described(service: str, item: Document, taken: set[str]) -> Document:
    """Return the operations of a path, each with a tag and a unique id."""
    described = {}
    for method, operation in item.items():
        name = operation.get("operationId", f"{method}_{service}")
        if name in taken:
            name = f"{service}_{name}"
        taken.add(name)
        described[method] = {**operation, "operationId": name, "tags": operation.get("tags") or [service]}
    return described


def _without_collisions(service: str, document: Document, components: Mapping[str, Document]) -> Document:
    """Rename components whose name already means something else.

    A rename changes the components that refer to it, so this repeats until nothing changes.
    """
    renamed: dict[str, str] = {}
    while True:
        candidate: Document = _walk(document, lambda text: renamed.get(text, text))
        own = {
            section: {
                renamed.get(_ref(section, name), name).rsplit("/", 1)[-1]: entry for name, entry in entries.items()
            }
            for section, entries in candidate.get("components", {}).items()
        }
        clashes = [
            _ref(section, name)
            for section, entries in own.items()
            for name, entry in entries.items()
            if components.get(section, {}).get(name, entry) != entry
        ]
        if not clashes:
            return {**candidate, "components": own}
        for ref in clashes:
            section, name = ref.removeprefix(_COMPONENTS).split("/")
            if section == "securitySchemes" or ref in renamed.values():
                raise DocumentError(f"{service} means something else by {section} {name}")
            renamed[ref] = _ref(section, f"{service.capitalize()}{name}")


def _ref(section: str, name: str) -> str:
    return f"{_COMPONENTS}{section}/{name}"


def _walk(value: Any, change: Callable[[str], str]) -> Any:
    """Return the JSON with `change` applied to every string."""
    match value:
        case str():
            return change(value)
        case list():
            return [_walk(entry, change) for entry in value]
        case dict():
            return {key: _walk(entry, change) for key, entry in value.items()}
        case _:
            return value
