"""Decoding of events."""

from dataclasses import dataclass

from pydantic import ValidationError

from libs.contracts.base import Envelope, Payload
from libs.contracts.topics import EVENT_TYPES


class UndecodableError(ValueError):
    """The bytes are not one of our events. Retrying does not help."""


@dataclass(frozen=True, slots=True)
class Received:
    """A decoded event."""

    envelope: Envelope
    payload: Payload


def decode(raw: bytes | None) -> Received | None:
    """The event in `raw`; None for a type or version that this release does not know, from a newer producer.

    Raises:
        UndecodableError: `raw` is not an envelope, or its data do not match the type.
    """
    try:
        envelope = Envelope.model_validate_json(raw or b"")
        payload_type = EVENT_TYPES.get((envelope.type, envelope.version))
        if payload_type is None:
            return None
        return Received(envelope, payload_type.model_validate(envelope.data))
    except ValidationError as error:
        raise UndecodableError(str(error)) from error
