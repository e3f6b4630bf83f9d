"""The services keep to the OpenAPI document that the gateway publishes, whatever they are sent."""

import contextlib
import time
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ops.client import Account, Api
from tests.e2e.world import Someone, publish, ready_media

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

EXAMPLES = 5  # of each operation, as described and again not as described
BUDGET_S = 200.0
CALL_S = 10.0
Operation = APIOperation[Any, Any, Any, Any]
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# They end the session that the others need, or begin one that nobody uses.
LEFT_OUT = {"logout", "end_session", "change_password"}
ENDINGS = {"delete_post", "delete_comment", "delete_media"}  # these come last: the others need what they delete


async def known_ids(api: Api, owner: Account, other: Account) -> dict[str, str]:
    """Path parameters of things that there are."""
    (post_id,) = await publish(api, owner, caption="#contract")
    comment = await api.call("POST", f"/posts/{post_id}/comments", owner, json={"text": "first"})
    return {
        "post_id": post_id,
        "comment_id": comment["comment_id"],
        "media_id": await ready_media(api, owner),
        "user_id": other.user_id,
        "username": other.username,
        "tag": "contract",
    }


def operations(schema: Any) -> list[Operation]:
    """Return all operations except those in `LEFT_OUT`."""
    found = [result.ok() for result in schema.get_all_operations()]
    wanted = [one for one in found if one.definition.raw["operationId"] not in LEFT_OUT]
    return sorted(wanted, key=lambda one: one.definition.raw["operationId"] in ENDINGS)


def path_of(operation: Operation, ids: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in ids.items() if f"{{{name}}}" in operation.path}


def failures_of(operation: Operation, mode: GenerationMode, ids: dict[str, str], headers: dict[str, str]) -> list[str]:
    """Return the faults in the answers to generated requests."""
    wrong: dict[str, str] = {}
    strategy = operation.as_strategy(mode, path_parameters=path_of(operation, ids) or None)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def send(case: Case[Any]) -> None:
        response = case.call(headers=headers, timeout=CALL_S)
        try:
            case.validate_response(response, checks=CHECKS, headers=headers)
        except (Failure, FailureGroup) as failure:
            wrong[f"{operation.label} → {response.status_code}"] = str(getattr(failure, "exceptions", failure))[:1_500]

    with contextlib.suppress(Unsatisfiable):  # nothing about this operation can be as not described
        send()
    return [f"{what}: {why}" for what, why in wrong.items()]


async def test_answers_are_as_the_document_says(api: Api, someone: Someone) -> None:
    owner, other = await someone(), await someone()
    ids = await known_ids(api, owner, other)
    document = await api.call("GET", "/openapi.json")
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=api.base_url)
    end, wrong, asked = time.monotonic() + BUDGET_S, list[str](), 0
    todo = operations(schema)
    for operation in todo:
        if time.monotonic() > end:
            break
        for mode in GenerationMode:
            wrong += failures_of(operation, mode, ids, owner.headers)
        asked += 1
    assert not wrong, "\n\n".join(wrong)
    assert asked == len(todo), f"only {asked} of {len(todo)} operations within {BUDGET_S:.0f} s"
