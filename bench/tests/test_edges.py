import pytest

from bench.edges import EdgeListError, edges


def test_two_ids_a_line_whatever_the_space_between_comments_left_out() -> None:
    lines = ["# SNAP: who follows whom\n", "1 2\n", "\t-3\t 4  # late\n", "\n", "2 1"]
    assert list(edges(lines)) == [(1, 2), (-3, 4), (2, 1)]


@pytest.mark.parametrize("line", ["1", "1 2 3", "1,2", "a b", "1 2.5", "1 9223372036854775808"])
def test_a_bad_line_is_named(line: str) -> None:
    with pytest.raises(EdgeListError, match=r"^line 3 "):
        list(edges(["1 2\n", "# so far\n", line]))


def test_lines_are_taken_one_by_one() -> None:
    assert next(edges(iter(["1 2\n", "bad\n"]))) == (1, 2)
