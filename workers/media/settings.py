"""Settings of the media worker."""

from pydantic import Field

from libs.common.core.settings import Settings


class MediaWorkerSettings(Settings):
    """Common settings and these."""

    decoders: int = Field(
        default=2,
        ge=1,
        le=64,
        description="images decoded at once, each in a process of up to 1 GiB; one owner gets all but one of them",
    )
