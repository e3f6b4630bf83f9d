"""Every problem code is one class that is documented."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest

from gateway.errors_page import PACKAGES, ROOT, error_classes, with_own_code
from gateway.problems import PROBLEMS
from libs.common.core.errors import ApiError
from libs.contracts.failures import FailureReason

TITLE_CHARS = 60
CLASSES, WITH_CODE = error_classes(), with_own_code()
SENTENCE = re.compile(r"[A-Z].*\.", re.DOTALL)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_error_says_when_it_occurs(kind: type[ApiError]) -> None:
    assert "__doc__" in vars(kind)
    assert SENTENCE.fullmatch(kind.__doc__ or "")
    assert "|" not in (kind.__doc__ or "")


@pytest.mark.parametrize("kind", WITH_CODE, ids=lambda kind: kind.code)
def test_titles_are_short_and_plain(kind: type[ApiError]) -> None:
    title = kind.title
    assert title[0].isupper()
    assert not title.endswith(".")
    assert len(title) <= TITLE_CHARS
    assert not re.search(r"\b(one|oneself|one's)\b", title, re.IGNORECASE)


def test_each_code_has_one_status_and_title_and_each_class_name_is_used_once() -> None:
    forms, names = defaultdict(set), [kind.__name__ for kind in CLASSES]
    for kind in CLASSES:
        if hasattr(kind, "code"):
            forms[kind.code].add((kind.status, kind.title))
    assert {code: form for code, form in forms.items() if len(form) > 1} == {}
    assert len(WITH_CODE) == len({kind.code for kind in WITH_CODE})
    assert len(names) == len(set(names))


def details() -> Iterator[tuple[str, str]]:
    """Place and text of each detail that is written where an error is raised; placeholders are `X`."""
    names = {kind.__name__ for kind in CLASSES}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "tests" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names and node.args:
                match node.args[0]:
                    case ast.Constant(value=str(text)):
                        yield f"{path}:{node.lineno}", text
                    case ast.JoinedStr(values=parts):
                        texts = (str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
                        yield f"{path}:{node.lineno}", "".join(texts)


def test_details_in_the_code_are_sentences() -> None:
    found = dict(details())
    assert found
    assert {place: text for place, text in found.items() if not SENTENCE.fullmatch(text)} == {}


@pytest.mark.parametrize("text", [*(problem.detail for problem in PROBLEMS), *(r.sentence for r in FailureReason)])
def test_details_are_sentences(text: str) -> None:
    assert SENTENCE.fullmatch(text)
