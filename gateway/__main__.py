"""`python -m gateway`: writes what nginx runs with. It runs nginx for nobody."""

import argparse
import json
import sys
from pathlib import Path

from pydantic import ValidationError

from gateway.openapi import DocumentError, fetch, merge
from gateway.render import render
from gateway.settings import GatewaySettings

DOCS_PAGE = Path(__file__).parent / "static" / "docs.html"


def main(arguments: list[str] | None = None) -> int:
    """Exit 1 with one message on what can be expected to go wrong."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = GatewaySettings()
        if parsed.command == "render":
            _write(parsed.out, render(settings, parsed.out.absolute().parent))
        else:
            _write(parsed.out / "openapi.json", json.dumps(merge(fetch(settings.urls()))))
            _write(parsed.out / "docs.html", DOCS_PAGE.read_text())
    except ValidationError as error:
        for fault in error.errors():
            print(f"gateway: FEEDMILL_{str(fault['loc'][0]).upper()}: {fault['msg']}", file=sys.stderr)
        return 1
    except (DocumentError, ValueError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


def _write(path: Path, text: str) -> None:
    """Whole or not at all: nginx may be serving the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text)
    draft.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    renders = commands.add_parser("render", help="write nginx's configuration")
    renders.add_argument("--out", type=Path, required=True, help="the file")
    documents = commands.add_parser("openapi", help="merge the running services' OpenAPI documents, for /docs")
    documents.add_argument("--out", type=Path, required=True, help="the folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
