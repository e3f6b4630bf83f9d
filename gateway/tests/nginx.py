"""The real nginx with a rendered configuration."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.render import render
from gateway.settings import GatewaySettings

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
START_S = 10.0


@contextlib.contextmanager
def running_nginx(folder: Path, settings: GatewaySettings) -> Iterator[None]:
    """Run nginx until the block ends. Its output is in `stdout` and `stderr` of the folder."""
    config = folder / "nginx.conf"
    config.write_text(render(settings, folder))
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [NGINX, "-e", "stderr", "-c", str(config), "-p", str(folder), "-g", "daemon off;"],
            stdout=out,
            stderr=errors,
        )
    try:
        _wait_for(settings.gateway_port, process)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError("nginx did not start")
