"""Names of SQL statements in metrics."""

import pytest

from libs.common.stores.postgres import query_summary


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        ("SELECT 1", "SELECT"),
        ("BEGIN;", "BEGIN"),
        ("ROLLBACK;", "ROLLBACK"),
        ("SAVEPOINT one;", "SAVEPOINT"),
        ("SELECT a FROM sessions JOIN users USING (user_id) WHERE a = $1 FOR UPDATE OF sessions", "SELECT sessions"),
        ("SELECT a, EXISTS (SELECT FROM (SELECT FROM blocks) t) FROM users WHERE a = $1", "SELECT users"),
        ("\nSELECT array(SELECT a FROM follows WHERE b = $1)", "SELECT follows"),
        ("WITH RECURSIVE ends AS (SELECT 0) UPDATE follows SET a = 1", "UPDATE follows"),
        (
            "INSERT INTO counts (a, b) SELECT * FROM unnest($1::bigint[]) ON CONFLICT (a) DO UPDATE SET b = 1",
            "INSERT counts",
        ),
        ("DELETE FROM requests WHERE a IN (SELECT a FROM other WHERE b = $1)", "DELETE requests"),
        ("SELECT pg_advisory_xact_lock(hashtextextended('x' || $1::bigint, 0))", "SELECT pg_advisory_xact_lock"),
        ("SELECT count(*) FROM unnest($1::bigint[]) id JOIN users ON user_id = id", "SELECT users"),
    ],
)
def test_a_statement_is_named_by_its_operation_and_table(sql: str, summary: str) -> None:
    assert query_summary(sql) == summary
