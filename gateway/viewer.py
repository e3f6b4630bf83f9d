"""The page at /docs: Swagger UI from its WebJar, started by our own page and script."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

STATIC = Path(__file__).parent / "static"
PAGE = ("index.html", "initializer.js")
ASSETS = (
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
    "index.css",
    "favicon-32x32.png",
)
_ROOT = "META-INF/resources/webjars/swagger-ui/"


class ViewerError(RuntimeError):
    """The jar is not a usable Swagger UI."""


def read(jar: Path) -> dict[str, bytes]:
    """Return every file that /docs/ serves, by name.

    Raises:
        ViewerError: the jar can't be read, is damaged, or lacks a file.
    """
    try:
        with zipfile.ZipFile(jar) as archive:
            members = {PurePosixPath(name).name: name for name in archive.namelist() if name.startswith(_ROOT)}
            assets = {name: archive.read(members[name]) for name in ASSETS}
    except KeyError as error:
        raise ViewerError(f"{jar} has no {error.args[0]}") from error
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ViewerError(f"Swagger UI can't be read from {jar}: {error}") from error
    return assets | {name: (STATIC / name).read_bytes() for name in PAGE}
