"""Where the JVM is, and where `bootstrap` put the jars."""

import hashlib
import os
from pathlib import Path

from devstack.errors import DevstackError

POMS = Path(__file__).parent / "jars"


def java() -> str:
    """Java 17: Cassandra 5 runs on nothing later."""
    found = sorted(Path("/usr/lib/jvm").glob("java-17-openjdk*/bin/java"))
    return str(found[0]) if found else "java"


def jars_dir(product: str) -> Path:
    """The folder of one product's jars, named by the content of its pom (as `bootstrap` names it)."""
    digest = hashlib.sha256((POMS / f"{product}.xml").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "feedmill" / "jars" / f"{product}-{digest}"
    if not folder.is_dir():
        raise DevstackError(f"the jars of {product} are not in {folder}; run devstack/bootstrap")
    return folder


def only_jar(product: str) -> Path:
    """The jar of a product that is one jar."""
    (jar,) = jars_dir(product).glob("*.jar")
    return jar
