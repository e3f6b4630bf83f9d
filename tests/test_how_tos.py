"""The how-tos show code of this tree: every quoted line is in the file that its block names."""

import re
from pathlib import Path

import pytest

from devstack.settings import ROOT

PAGES = sorted((ROOT / "docs" / "how-to").glob("*.md"))
QUOTE = re.compile(r"^```\w+\n(?:#|--) (\S+/\S+\.\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_quoted_is_there(page: Path) -> None:
    lacking = [
        f"{path}: {line}"
        for path, quoted in QUOTE.findall(page.read_text())
        for line in quoted.splitlines()
        if line not in (ROOT / path).read_text().splitlines()
    ]
    assert not lacking, "\n".join(lacking)


def test_pages_quote() -> None:
    assert sum(len(QUOTE.findall(page.read_text())) for page in PAGES) > len(PAGES)
