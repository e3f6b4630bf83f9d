"""A real S3 server for tests: S3Proxy on a folder, or the one that `FEEDMILL_TEST_S3` names."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from devstack.errors import DevstackError
from devstack.java import java, only_jar
from devstack.ports import answers, choose
from devstack.processes import ProcessTable

GIVEN = os.environ.get("FEEDMILL_TEST_S3", "")
"""`http://key:secret@host:port`. S3Proxy checks the signature of a form, but not its conditions; this one must."""
START_S = 60.0
PROPERTIES = """\
s3proxy.endpoint=http://127.0.0.1:{port}
s3proxy.authorization=aws-v2-or-v4
s3proxy.identity={key}
s3proxy.credential={secret}
s3proxy.ignore-unknown-headers=true
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir={folder}
"""


@contextmanager
def running_s3(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the `FEEDMILL_S3_…` variables of a server. Skips the test where there are no jars or no Java for it."""
    if GIVEN:
        parts = urlsplit(GIVEN)
        yield environ(f"{parts.scheme}://{parts.hostname}:{parts.port}", parts.username or "", parts.password or "")
        return
    try:
        command = [java(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-jar", str(only_jar("s3proxy"))]
    except DevstackError as error:
        pytest.skip(f"no S3 server: {error}")
    port, key, secret = choose(set()), secrets.token_hex(8), secrets.token_hex(16)
    (folder / "data").mkdir()
    (folder / "s3proxy.conf").write_text(PROPERTIES.format(port=port, key=key, secret=secret, folder=folder / "data"))
    table = ProcessTable(folder)
    table.spawn("s3", [*command, "--properties", str(folder / "s3proxy.conf")], os.environ, folder)
    try:
        table.wait_ready({"s3": lambda: answers("127.0.0.1", port)}, START_S)
        yield environ(f"http://127.0.0.1:{port}", key, secret)
    finally:
        table.stop("s3")


def environ(endpoint: str, key: str, secret: str) -> dict[str, str]:
    return {
        "FEEDMILL_S3_ENDPOINT": endpoint,
        "FEEDMILL_S3_ACCESS_KEY_ID": key,
        "FEEDMILL_S3_SECRET_ACCESS_KEY": secret,
    }
