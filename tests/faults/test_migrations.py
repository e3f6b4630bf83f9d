"""Migrations run by several processes at once, and again."""

import asyncio
import os
import sys
from uuid import uuid4

import pytest

from devstack.settings import ROOT
from libs.common.testing import SECRET

pytestmark = pytest.mark.stores
AT_ONCE = 3


@pytest.mark.parametrize("module", ["services.user", "services.media"])  # one of each kind of store
async def test_several_processes_may_migrate_at_once_and_again(store_env: dict[str, str], module: str) -> None:
    secrets = {"FEEDMILL_INTERNAL_SECRET": SECRET, "FEEDMILL_CURSOR_SECRET": SECRET}
    namespace = {"FEEDMILL_NAMESPACE": f"m{uuid4().hex[:8]}_"}
    environ = {**os.environ, **store_env, **secrets, **namespace}

    async def migrate() -> tuple[int | None, bytes]:
        command = [sys.executable, "-m", module, "migrate"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, env=environ, cwd=ROOT, stdout=pipe, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        return process.returncode, output

    for outcome in [*await asyncio.gather(*(migrate() for _ in range(AT_ONCE))), await migrate()]:
        assert outcome[0] == 0, outcome[1].decode()
