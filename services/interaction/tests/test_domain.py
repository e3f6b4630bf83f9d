from services.interaction.domain import CountDifference, LedgerCount, MemberState, compare_count

HERE, GONE = MemberState(True, 5), MemberState(False, 5)


def test_a_ledger_as_its_records_is_right() -> None:
    assert compare_count(LedgerCount({1: HERE, 2: GONE}, 1, 1), {1: HERE, 2: GONE}) == CountDifference(1, 1, {})


def test_a_total_that_is_not_of_its_members_is_wrong() -> None:
    assert compare_count(LedgerCount({1: HERE}, 1, 9), {1: HERE}) == CountDifference(1, 9, {})


def test_members_become_as_their_records() -> None:
    ledger = LedgerCount({1: HERE, 2: GONE, 3: MemberState(True, 4)}, 2, 2)
    recorded = {1: GONE, 2: GONE, 3: HERE, 4: HERE}
    assert compare_count(ledger, recorded) == CountDifference(2, 2, {1: GONE, 3: HERE, 4: HERE})


def test_who_has_no_record_counts_no_more() -> None:
    assert compare_count(LedgerCount({1: HERE}, 1, 1), {}) == CountDifference(0, 1, {1: GONE})


def test_a_record_that_is_older_than_the_ledger_says_nothing() -> None:
    assert compare_count(LedgerCount({1: HERE}, 1, 1), {1: MemberState(False, 4)}) == CountDifference(1, 1, {})
