"""Uploaded files go when they have served, or were never completed."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from services.media.domain import ProcessingStatus, StoredMedia
from services.media.service.lifetime import UNPOSTED_TTL_S
from services.media.tests.test_service import FAILED, READY, UPLOAD, Room


@pytest.mark.parametrize("verdict", [READY, FAILED])
async def test_the_uploaded_file_goes_with_the_verdict(tmp_path: Path, verdict: StoredMedia) -> None:
    room = Room(tmp_path)
    await room.put()
    await room.library.complete(UPLOAD.owner_id, UPLOAD.upload_id)
    assert (tmp_path / UPLOAD.source_key).exists()
    for _ in range(2):
        await room.library.save_result(verdict)
        assert not (tmp_path / UPLOAD.source_key).exists()
    assert (await room.store.find([UPLOAD.upload_id]))[0].status is verdict.status


async def test_the_first_reason_stays(tmp_path: Path) -> None:
    room = Room(tmp_path)
    await room.put()
    await room.library.complete(UPLOAD.owner_id, UPLOAD.upload_id)
    await room.library.save_result(FAILED)
    await room.library.save_result(replace(FAILED, reason="processing_failed"))
    assert (await room.library.show(UPLOAD.owner_id, UPLOAD.upload_id)).reason == FAILED.reason


async def test_a_verdict_is_kept_while_the_object_store_is_away(tmp_path: Path) -> None:
    room = Room(tmp_path / "objects")
    await room.library.save_result(READY)
    assert (await room.store.find([UPLOAD.upload_id]))[0].status is ProcessingStatus.READY


async def test_old_uploads_are_swept_and_nothing_else(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.now = 10.0 * UNPOSTED_TTL_S
    assert await room.lifetime.sweep() == 0  # nobody has uploaded anything yet
    kept, old, variant = (tmp_path / name for name in ("uploads/1", "uploads/2", "0f/5/1/small.webp"))
    for path, age_s in ((kept, UNPOSTED_TTL_S - 1), (old, UNPOSTED_TTL_S + 1), (variant, 2 * UNPOSTED_TTL_S)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (room.now - age_s,) * 2)
    assert await room.lifetime.sweep() == 1
    assert (kept.exists(), old.exists(), variant.exists()) == (True, False, True)
