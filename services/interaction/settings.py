"""Settings of the interaction service."""

from pydantic import Field

from libs.common.core.settings import Settings


class InteractionSettings(Settings):
    """Common settings and those of the interaction service."""

    likes_an_hour: int = Field(default=100, ge=0, description="likes of a user an hour, against bots; 0: no limit")
    comments_an_hour: int = Field(default=50, ge=0, description="comments of a user an hour, against bots; 0: no limit")
