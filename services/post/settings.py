"""Settings of the post service."""

from pydantic import Field

from libs.common.core.settings import Settings


class PostSettings(Settings):
    """Common settings and those of the post service."""

    posts_an_hour: int = Field(
        default=10, ge=0, description="posts of a user an hour; each fans out to all followers; 0: no limit"
    )
    seconds_a_picture: float = Field(
        default=5.0,
        gt=0,
        description="for `estimated_ready_at`: decoding and resizing to five sizes take 1 to 3 s on a busy core",
    )
