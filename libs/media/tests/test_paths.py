import re

from libs.contracts.media import Dimensions, MediaDocument
from libs.media.paths import SecretPaths, new_secret

PATHS = SecretPaths("a secret")


def test_secrets_can_not_be_told_from_what_is_known() -> None:
    assert all(re.fullmatch("[0-9a-f]{32}", secret) for secret in (new_secret(), PATHS.secret_of(7)))
    others = (new_secret(), new_secret(), PATHS.secret_of(7), PATHS.secret_of(8), SecretPaths("another").secret_of(7))
    assert len(set(others)) == 5


def test_old_documents_get_a_secret_and_new_ones_keep_theirs() -> None:
    new = f"0f/5/7/{new_secret()}/large.webp"
    stored = MediaDocument(
        media_id=7,
        owner_id=5,
        paths={"small": "0f/5/7/small.webp", "large": new},
        dimensions=Dimensions(width=3, height=2),
        placeholder="L",
        dominant_color="#000000",
    )
    once = PATHS.document(stored)
    assert once.paths == {"small": f"0f/5/7/{PATHS.secret_of(7)}/small.webp", "large": new}
    assert PATHS.document(once) == once
