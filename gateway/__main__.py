"""`python -m gateway` writes the files that nginx uses. It does not start nginx."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway import viewer
from gateway.openapi import DocumentError, fetch, merge
from gateway.render import render
from gateway.settings import GatewaySettings
from libs.common.core.settings import faults


def main(arguments: list[str] | None = None) -> int:
    """Exit with 1 and one message on an expected failure."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = GatewaySettings()
        if parsed.command == "render":
            _write({parsed.out: render(settings, parsed.out.absolute().parent).encode()})
        else:
            _write(_documents(settings, parsed.out))
    except ValidationError as error:
        for fault in faults(error):
            print(f"gateway: {fault}", file=sys.stderr)
        return 1
    except (DocumentError, viewer.ViewerError, ValueError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


def _documents(settings: GatewaySettings, out: Path) -> dict[Path, bytes]:
    if settings.gateway_swagger_ui_jar is None:
        raise ValueError("FEEDMILL_GATEWAY_SWAGGER_UI_JAR is not set")
    pages = viewer.read(settings.gateway_swagger_ui_jar)
    document = json.dumps(merge(fetch(settings.service_urls)))
    return {out / "openapi.json": document.encode()} | {out / "viewer" / name: page for name, page in pages.items()}


def _write(files: Mapping[Path, bytes]) -> None:
    """Write all files or none, because nginx may serve the old ones. Rename only when all are on the disk."""
    drafts = {path: path.with_name(f".{path.name}.new") for path in files}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            drafts[path].write_bytes(content)
        for path, draft in drafts.items():
            draft.replace(path)
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    renders = commands.add_parser("render", help="write nginx's configuration")
    renders.add_argument("--out", type=Path, required=True, help="the file")
    documents = commands.add_parser("openapi", help="write the merged OpenAPI document and its viewer, for /docs")
    documents.add_argument("--out", type=Path, required=True, help="the folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
