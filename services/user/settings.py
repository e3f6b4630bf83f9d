"""What the user service is told from outside."""

from pathlib import Path

from pydantic import Field

from libs.common.core.settings import Settings


class UserSettings(Settings):
    """Common settings and the user service's own."""

    jwt_keys_dir: Path = Field(
        default=Path("/var/lib/feedmill/jwt"), description="Ed25519 keys as *.pem; the newest signs, all are published"
    )
    logins_a_minute: int = Field(
        default=5, ge=0, description="from an address, and for an account: passwords can't be guessed so; 0: no limit"
    )
    registrations_a_minute: int = Field(default=20, ge=0, description="from an address; 0: no limit")
    push_threshold: int = Field(
        default=10_000, ge=1, description="followers from which an author's posts are pulled, not pushed"
    )
