"""Clients of the services for operators' tools."""

from dataclasses import replace

from libs.common.core.policies import SERVICE_READ
from libs.common.core.settings import Settings
from libs.common.web.auth import ServiceTokens
from libs.common.web.client import ServiceClient
from libs.deployables import service_urls

PATIENT = replace(SERVICE_READ, timeout_s=10.0, hedge_after_s=None)  # nobody waits for an answer on a screen


def service_client(name: str, settings: Settings) -> ServiceClient:
    """Return a client of the service with a long time-out. The caller closes it."""
    tokens = ServiceTokens(settings.internal_secret.get_secret_value(), "ops")
    return ServiceClient(name, service_urls()[name], settings, tokens, PATIENT)
