"""A collector of all spans of the running system."""

from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from tests.traces.receiver import Receiver, receiving


@pytest.fixture(scope="package")
def receiver(stack: Stack) -> Iterator[Receiver]:
    """Collect the spans of all requests. Afterwards the system runs as before."""
    with receiving() as receiver:
        stack.restart(changes={"FEEDMILL_OTLP_ENDPOINT": receiver.address, "FEEDMILL_TRACE_RATIO": "1"})
        try:
            yield receiver
        finally:
            stack.restart()
