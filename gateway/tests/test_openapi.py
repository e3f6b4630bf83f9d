import copy
from typing import Any

import pytest

from gateway.openapi import DocumentError, merge

Document = dict[str, Any]


def document(path: str, schemas: Document, *, operation_id: str = "get", tags: list[str] | None = None) -> Document:
    answer = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Page"}}}}
    operation = {"operationId": operation_id, "responses": {"200": answer}, **({"tags": tags} if tags else {})}
    return {"openapi": "3.1.0", "info": {}, "paths": {path: {"get": operation}}, "components": {"schemas": schemas}}


PAGE = {"properties": {"items": {"items": {"$ref": "#/components/schemas/Item"}}}}
ITEM = {"properties": {"id": {"type": "string"}}}
OTHER_ITEM = {"properties": {"id": {"type": "integer"}}}


def answer_ref(merged: Document, path: str) -> str:
    answer = merged["paths"][path]["get"]["responses"]["200"]
    return str(answer["content"]["application/json"]["schema"]["$ref"])


def test_equal_components_are_kept_once() -> None:
    merged = merge(
        {
            "feed": document("/v1/feed", {"Page": PAGE, "Item": ITEM}),
            "post": document("/v1/posts", copy.deepcopy({"Page": PAGE, "Item": ITEM})),
        }
    )
    assert merged["components"]["schemas"] == {"Item": ITEM, "Page": PAGE}
    assert merged["servers"] == [{"url": "/"}]
    assert list(merged["paths"]) == ["/v1/feed", "/v1/posts"]


def test_different_components_are_renamed_with_all_that_refer_to_them() -> None:
    merged = merge(
        {
            "feed": document("/v1/feed", {"Page": PAGE, "Item": ITEM}),
            "post": document("/v1/posts", {"Page": PAGE, "Item": OTHER_ITEM}),
        }
    )
    schemas = merged["components"]["schemas"]
    assert schemas["Item"] == ITEM
    assert schemas["PostItem"] == OTHER_ITEM
    assert schemas["Page"] == PAGE
    assert schemas["PostPage"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/PostItem"}
    assert answer_ref(merged, "/v1/feed") == "#/components/schemas/Page"
    assert answer_ref(merged, "/v1/posts") == "#/components/schemas/PostPage"


def test_operations_have_an_id_of_their_own_and_a_tag() -> None:
    merged = merge(
        {"feed": document("/v1/feed", {}), "post": document("/v1/posts", {}, tags=["posts"])},
    )
    feed, post = merged["paths"]["/v1/feed"]["get"], merged["paths"]["/v1/posts"]["get"]
    assert (feed["operationId"], feed["tags"]) == ("get", ["feed"])
    assert (post["operationId"], post["tags"]) == ("post_get", ["posts"])
    assert merged["tags"] == [{"name": "feed"}, {"name": "posts"}]


@pytest.mark.parametrize("path", ["/v1/feed", "/v1/unknown", "/internal/x"])
def test_a_route_that_would_not_arrive_is_refused(path: str) -> None:
    with pytest.raises(DocumentError, match="routes"):
        merge({"post": document(path, {})})


def test_two_meanings_of_a_security_scheme_are_refused() -> None:
    first, second = document("/v1/feed", {}), document("/v1/posts", {})
    first["components"]["securitySchemes"] = {"Bearer": {"type": "http", "scheme": "bearer"}}
    second["components"]["securitySchemes"] = {"Bearer": {"type": "apiKey"}}
    with pytest.raises(DocumentError, match="securitySchemes Bearer"):
        merge({"feed": first, "post": second})
