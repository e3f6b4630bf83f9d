"""Settings of the interaction service."""

from libs.common.runtime.settings import Settings


class InteractionSettings(Settings):
    """Common settings; the service has none of its own."""
