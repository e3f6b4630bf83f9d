"""Settings of the user service."""

from pathlib import Path

from pydantic import Field

from libs.common.core.settings import Settings


class UserSettings(Settings):
    """Common settings and those of the user service."""

    jwt_keys_dir: Path = Field(
        default=Path("/var/lib/feedmill/jwt"),
        description="Ed25519 keys (*.pem); the newest signs, all are published",
    )
    logins_a_minute: int = Field(
        default=5, ge=0, description="logins from an address and to an account, against password guessing; 0: no limit"
    )
    registrations_a_minute: int = Field(default=20, ge=0, description="registrations from an address; 0: no limit")
    push_threshold: int = Field(
        default=10_000, ge=1, description="follower count from which an author's posts are pulled, not pushed"
    )
