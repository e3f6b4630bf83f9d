"""Settings of the media worker."""

from pydantic import Field

from libs.common.core.settings import Settings


class MediaWorkerSettings(Settings):
    """The settings of the media worker."""

    decoders: int = Field(
        default=2,
        ge=1,
        le=64,
        description="images decoded concurrently, each in a process of up to 1 GiB; one owner uses all but one",
    )
