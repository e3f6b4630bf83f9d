"""The language check, `.ci/prose`, on small files."""

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
LIST = """| do not write | write |
|---|---|
| kept, is kept | cached |
| so many | name the number |
| some # | about # |
"""


def load() -> ModuleType:
    loader = SourceFileLoader("prose", str(ROOT / ".ci/prose"))
    spec = importlib.util.spec_from_loader("prose", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prose"] = module
    loader.exec_module(module)
    return module


prose = load()


def found(tmp_path: Path, name: str, text: str) -> list[str]:
    """Line, kind and what of each finding in one file of a project."""
    for path, content in (("docs/style.md", LIST), (name, text)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    return [f"{one.line} {one.kind} {one.what}" for one in prose.check_tree(tmp_path)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"""Pages are\nkept."""\n', ['2 word "kept"']),
        ("x = 1  # it is kept\n", ['1 word "is kept"']),
        ("# is\n# kept\n", ['1 word "is kept"']),
        ('"""Call `kept()`, kept_page and kept(1)."""\n', []),
        ('x = "# kept"\n', []),
        ("x = '''\n# kept\n'''\n", []),
        ("x = 'it\\'s'  # so many\n", ['1 word "so many"']),
        ('raise ValueError("It is kept here")\n', ['1 word "is kept"']),
        ('"""It has some 1,500 rows."""\n', ['1 word "some #"']),
        ('def f():\n    """See the port."""\n', ["2 port See the port."]),
        ('def f():\n    """Of one caller, as it was."""\n', ['2 fragment "Of one caller, as it was."']),
        ('def f():\n    """All rows are read."""\n', []),
        (f'"""{"word " * 26}."""\n', ["1 sentence 26 words"]),
        (f'"""{"word " * 25}. {"Word " * 25}."""\n', []),
        (f'"""One.\n\nArgs:\n    a: {"word " * 20}\n    b: {"word " * 20}\n"""\n', []),
    ],
)
def test_code(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert found(tmp_path, "libs/a.py", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is\nkept.\n", ['1 word "is kept"']),
        ("```\nkept\n```\n`kept` [link](kept)\n", []),
        (f"- {'word ' * 20}\n- {'word ' * 20}\n", []),
        (f"| {'word ' * 20} | {'word ' * 20} |\n", []),
        (f"| {'word ' * 26} |\n", ["1 sentence 26 words"]),
        (f"{'a' * 151}\n", ["1 line 151 characters"]),
        (f"| {'a' * 151} |\n", []),
    ],
)
def test_pages(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert found(tmp_path, "README.md", text) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("libs/a.py", "# prose-allow kept: a quotation\nx = 1  # kept\n", []),
        ("libs/a.py", 'def f():\n    """Pages are\n\n    kept.\n    """  # prose-allow kept: a quotation\n', []),
        ("libs/a.py", f'"""{"word " * 26}"""  # prose-allow sentence: a list\n', []),
        ("libs/a.py", "x = 1  # prose-allow kept\n", ["1 exception no reason for kept"]),
        ("libs/a.py", "x = 1  # prose-allow kept: because\n", ["1 exception kept is not found here"]),
        ("README.md", "<!-- prose-allow kept: a quotation -->\nkept\n", []),
        ("README.md", "`<!-- prose-allow kept: a quotation -->`\n", []),
    ],
)
def test_exceptions(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    assert found(tmp_path, name, text) == expected


def test_no_class_name_is_defined_twice(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services/b.py").write_text("class Page: ...\n")
    (tmp_path / "libs/tests").mkdir(parents=True)
    (tmp_path / "libs/tests/c.py").write_text("class Page: ...\n")  # fakes may share a name
    assert found(tmp_path, "libs/a.py", "class Page: ...\nclass Other: ...\n") == ["1 class Page", "1 class Page"]


def test_the_glossary_names_what_the_code_has(tmp_path: Path) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs/a.py").write_text("class Pages:\n    def read(self) -> None: ...\n")
    text = "| page | `Pages.read`, `libs/a.py` | A page. |\n| book | `Book.read` | A book. |\n"
    (tmp_path / "libs/b.py").write_text("# libs/a.py\n")
    assert found(tmp_path, "docs/glossary.md", text) == ["2 term Book.read"]


def test_the_list_of_the_project_is_read() -> None:
    words = prose.WordList.read((ROOT / "docs/style.md").read_text())
    assert [phrase for _, phrase, _ in words.find("Whom it is told of, of late")] == ["whom", "is told of", "of late"]
    with pytest.raises(ValueError, match="no word list"):
        prose.WordList.read("# Style\n")


def test_the_whole_project_has_no_class_name_twice() -> None:
    findings = prose.check_tree(ROOT)
    assert [str(one) for one in findings if one.kind == "class"] == []
