"""Where a Java that the stores run on is, and where `devstack/fetch-jars` puts the jars."""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from devstack.errors import DevstackError

JARS = Path(__file__).parent / "jars"
JVMS = Path("/usr/lib/jvm")
SUPPORTED = (17, 21)  # Cassandra 5.0 is tested on 17, and starts on 21; from 24 on Java lacks what it needs
PACKAGES = "openjdk-17-jdk-headless (Debian 12) or openjdk-21-jdk-headless (Debian 13)"


def java() -> str:
    """The `java` command to start a store with. Raises DevstackError where there is none that Cassandra runs on."""
    found = {}
    for command in _candidates():
        version = _version(command)
        if version in SUPPORTED:
            return command
        found[command] = version
    seen = ", ".join(f"{command} is {version}" for command, version in found.items() if version) or "there is none"
    raise DevstackError(f"Java 17 or 21 is needed, and {seen}: install {PACKAGES}")


def jars_dir(product: str) -> Path:
    """The folder of one product's jars. Its name holds the digest of their checksums, as in `devstack/fetch-jars`."""
    digest = hashlib.sha256((JARS / f"{product}.sha256").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "feedmill" / "jars" / f"{product}-{digest}"
    if not folder.is_dir():
        raise DevstackError(f"the jars of {product} are not in {folder}: run make bootstrap")
    return folder


def only_jar(product: str) -> Path:
    """The jar of a product that is one jar."""
    (jar,) = jars_dir(product).glob("*.jar")
    return jar


def _candidates() -> Iterator[str]:
    """Debian's first: several may be installed, and the one in PATH may be another."""
    for version in SUPPORTED:
        yield from map(str, sorted(JVMS.glob(f"java-{version}-openjdk*/bin/java")))
    if home := os.environ.get("JAVA_HOME"):
        yield f"{home}/bin/java"
    yield "java"


def _version(command: str) -> int | None:
    """The first number of `java -version`; None where that command is not there."""
    try:
        said = subprocess.run([command, "-version"], check=False, capture_output=True, text=True).stderr
    except OSError:
        return None
    number = re.search(r'version "(\d+)', said)
    return int(number[1]) if number else None
