from bench.figures import Figure, Latency, Row, rows_of, side_by_side, table

ROUNDS = Latency.over(
    [Latency(p50, 9.0, 10, rate=100.0, cpu_ms=cpu_ms) for p50, cpu_ms in ((3.0, 0.5), (1.0, 0.0), (2.0, 4.0))]
)
REFERENCE = Latency.over([Latency(4.0, 18.0, 10, rate=50.0, cpu_ms=1.0)])


def test_a_row_has_the_median_of_the_rounds_with_the_lowest_and_the_highest() -> None:
    rows = {row.what: row for row in rows_of("page", ROUNDS, REFERENCE, "busy")}
    assert rows["page, p50"] == Row(
        "page, p50", Figure(2.0, "ms", 1.0, 3.0), Figure(4.0, "ms", 4.0, 4.0), "busy, 30 in 3 rounds"
    )
    assert rows["page, CPU a request"].figure == Figure(0.5, "ms", 0.0, 4.0)
    assert {what: row.ratio for what, row in rows.items()} == {
        "page, p50": 0.5,
        "page, p99": 0.5,
        "page, rate": 2.0,
        "page, CPU a request": 0.5,
    }
    assert "0.50 ms (0.00 to 4.00)" in table(list(rows.values()))


def test_a_cost_of_zero_is_shown_and_an_unknown_one_is_not() -> None:
    nothing = Latency.over([Latency(1.0, 1.0, 10)])
    assert [row.ratio for row in rows_of("page", nothing, nothing)] == [1.0, 1.0, None]
    assert [row.what for row in rows_of("page", Latency(1.0, 1.0, 10), nothing)] == ["page, p50", "page, p99"]


def test_two_runs_side_by_side_with_rows_of_only_one() -> None:
    old = [Row("both", Figure(2.0, "ms"), Figure(4.0, "ms")), Row("old", Figure(1.0, "ms")), Row("failed", None)]
    new = [Row("both", Figure(1.0, "ms"), Figure(5.0, "ms")), Row("new", Figure(12_345.0, "B"))]
    assert [line.split() for line in side_by_side(old, new).splitlines()[1:]] == [
        ["both", "2.00", "ms", "1.00", "ms", "0.50", "0.50", "0.20"],
        ["old", "1.00", "ms"],
        ["failed"],
        ["new", "12,345", "B"],
    ]
