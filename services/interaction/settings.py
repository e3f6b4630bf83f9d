"""Settings of the interaction service."""

from pydantic import Field

from libs.common.core.settings import Settings


class InteractionSettings(Settings):
    """Common settings and these."""

    likes_an_hour: int = Field(default=100, ge=0, description="of a user: more is a machine's; 0: no limit")
    comments_an_hour: int = Field(default=50, ge=0, description="of a user: more is a machine's; 0: no limit")
