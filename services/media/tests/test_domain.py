"""Signatures, paths and the order of states."""

import pytest

from services.media.domain import ProcessingStatus, StoredMedia, Upload, UploadSigner, variant_type

UPLOAD = Upload(1 << 40, 5, "image/png", 1000)
SIGNER = UploadSigner("a secret")


def test_a_signature_holds_until_it_expires() -> None:
    signature = SIGNER.sign(UPLOAD, 100)
    assert SIGNER.is_valid(UPLOAD, 100, signature, 99.9)
    assert not SIGNER.is_valid(UPLOAD, 100, signature, 100)


@pytest.mark.parametrize(
    "other",
    [
        Upload(UPLOAD.upload_id + 1, 5, "image/png", 1000),
        Upload(UPLOAD.upload_id, 5, "image/jpeg", 1000),
        Upload(UPLOAD.upload_id, 5, "image/png", 1001),
    ],
)
def test_a_signature_binds_id_type_and_size(other: Upload) -> None:
    assert not SIGNER.is_valid(other, 100, SIGNER.sign(UPLOAD, 100), 1)


def test_a_signature_binds_expiry_and_secret() -> None:
    assert not SIGNER.is_valid(UPLOAD, 101, SIGNER.sign(UPLOAD, 100), 1)
    assert not UploadSigner("another").is_valid(UPLOAD, 100, SIGNER.sign(UPLOAD, 100), 1)
    assert not SIGNER.is_valid(UPLOAD, 100, "é", 1)


SECRET = "0123456789abcdef" * 2


def test_variant_paths() -> None:
    assert variant_type("0f", "12", "34", SECRET, "small.webp") == "image/webp"
    assert variant_type("0f", "12", "34", SECRET, "original.jpg") == "image/jpeg"


@pytest.mark.parametrize(
    "path",
    [
        ("0F", "12", "34", SECRET, "small.webp"),
        ("..", "12", "34", SECRET, "small.webp"),
        ("0f", "..", "34", SECRET, "small.webp"),
        ("0f", "12", "034", SECRET, "small.webp"),
        ("0f", "12", "34", SECRET, "original.webp"),
        ("0f", "12", "34", SECRET, "../../x"),
        ("0f", "12", "34", SECRET[1:], "small.webp"),
        ("0f", "12", "34", "." * 32, "small.webp"),
    ],
)
def test_paths_that_no_variant_can_have(path: tuple[str, str, str, str, str]) -> None:
    assert variant_type(*path) is None


def test_a_later_state_is_written_later() -> None:
    written = [StoredMedia(9 << 40, 1, status).written_at_us for status in ProcessingStatus]
    assert written == sorted(set(written))
