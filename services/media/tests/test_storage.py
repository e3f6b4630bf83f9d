import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from libs.common.core.errors import UnavailableError
from libs.common.testing.samples import sample
from services.media.service.storage import StorageMonitor
from services.media.stores.folder import FolderMediaObjects


def shown() -> tuple[float, float]:
    return sample("feedmill_storage_used_bytes"), sample("feedmill_storage_capacity_bytes")


async def test_a_folder_has_the_space_of_its_file_system(tmp_path: Path) -> None:
    space = await FolderMediaObjects(tmp_path).space()
    system = os.statvfs(tmp_path)
    assert 0 < space.used_bytes < space.capacity_bytes <= system.f_blocks * system.f_frsize
    with pytest.raises(UnavailableError):
        await FolderMediaObjects(tmp_path / "missing").space()


async def test_the_metrics_are_set_and_stay_without_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(total=1_000, used=300, free=600)  # 100 bytes are reserved for root
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    await StorageMonitor(FolderMediaObjects(tmp_path)).poll()
    assert shown() == (300, 900)
    await StorageMonitor(FolderMediaObjects(tmp_path / "missing")).poll()
    assert shown() == (300, 900)
