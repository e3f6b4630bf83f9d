"""What the media service is told from outside."""

from pydantic import Field

from libs.common.runtime.settings import Settings


class MediaSettings(Settings):
    """Common settings and the media service's own."""

    upload_url_s: int = Field(default=900, ge=1, description="how long an upload URL works: a slow phone needs minutes")
