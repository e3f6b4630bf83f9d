"""What the media service is told from outside."""

from pydantic import Field

from libs.common.core.settings import Settings


class MediaSettings(Settings):
    """Common settings and the media service's own."""

    unposted_mb: int = Field(default=1024, ge=100, description="of one account's uploads that are not posted, in MiB")
    upload_url_s: int = Field(default=900, ge=1, description="how long an upload URL works: a slow phone needs minutes")
