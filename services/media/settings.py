"""Settings of the media service."""

from pydantic import Field

from libs.common.core.settings import Settings


class MediaSettings(Settings):
    """Common settings and those of the media service."""

    unposted_mb: int = Field(default=1024, ge=100, description="limit for the unposted uploads of an account, in MiB")
    upload_url_s: int = Field(
        default=900, ge=1, description="how long an upload URL is valid; slow connections need minutes"
    )
