"""`python -m gateway.errors_page write|check`: docs/errors.md, from the error classes."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

from gateway.problems import PROBLEMS
from libs.common.core.errors import ApiError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
PACKAGES = ("libs", "services", "gateway")
_SHARED = ("libs.common.core.errors", "libs.common.web.auth")
_SKIPPED = {"tests", "testing", "migrations", "conftest", "__main__"}


def error_classes() -> list[type[ApiError]]:
    """Return every subclass of ApiError in the tree."""
    for package in PACKAGES:
        _import_all(package)
    return sorted(set(_subclasses(ApiError)), key=lambda kind: (kind.__module__, kind.__name__))


def with_own_code() -> list[type[ApiError]]:
    """Return the errors that define a problem code, sorted by status and code."""
    return sorted((kind for kind in error_classes() if "code" in vars(kind)), key=lambda kind: (kind.status, kind.code))


def page() -> str:
    """Return the table of problem codes, as Markdown."""
    lines = [
        "# Errors",
        "",
        "Generated from the subclasses of `ApiError` by `make contracts`. The form of an error is in [api.md](api.md).",
        "Every service may answer with a code that is marked as shared.",
        "",
        "| status | code | title | when it occurs | service |",
        "|---|---|---|---|---|",
    ]
    for kind in with_own_code():
        occurs = " ".join((kind.__doc__ or "").split())
        lines.append(f"| {kind.status} | `{kind.code}` | {kind.title} | {occurs} | {_answered_by(kind)} |")
    return "\n".join(lines) + "\n"


def _import_all(package: str) -> None:
    module = importlib.import_module(package)
    for found in pkgutil.iter_modules(module.__path__):
        if found.name in _SKIPPED or found.name.startswith("test_"):
            continue
        name = f"{package}.{found.name}"
        if found.ispkg:
            _import_all(name)
        else:
            importlib.import_module(name)


def _subclasses(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    for child in kind.__subclasses__():
        if child.__module__.partition(".")[0] in PACKAGES and ".tests." not in child.__module__:
            yield child
            yield from _subclasses(child)


def _answered_by(kind: type[ApiError]) -> str:
    """The services whose code names the class, or for shared parts of `libs.common` its module."""
    module = kind.__module__
    if module.startswith("services."):
        services = [module.split(".")[1]]
    elif module in _SHARED:
        services = ["shared"]
    else:
        used = module if module.startswith("libs.common.") else kind.__name__
        services = sorted({name for name, text in _sources() if used in text})
    by_gateway = any(problem.kind is kind for problem in PROBLEMS)
    return ", ".join([*services, *(["gateway"] if by_gateway else [])])


def _sources() -> Iterator[tuple[str, str]]:
    """Service and text of each of its files."""
    for path in sorted((ROOT / "services").rglob("*.py")):
        if "tests" not in path.parts:
            yield path.relative_to(ROOT / "services").parts[0], path.read_text()


def write() -> int:
    """Write the page."""
    PAGE.write_text(page())
    return 0


def check() -> int:
    """Fail when the page is out of date."""
    if PAGE.is_file() and PAGE.read_text() == page():
        return 0
    print("out of date, run `make contracts`: errors.md")
    return 1


if __name__ == "__main__":
    sys.exit({"write": write, "check": check}[sys.argv[1]]())
