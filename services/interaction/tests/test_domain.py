from services.interaction.domain import CountAudit, Ledgered, Membership, audited

HERE, GONE = Membership(True, 5), Membership(False, 5)


def test_a_ledger_as_its_records_is_right() -> None:
    assert audited(Ledgered({1: HERE, 2: GONE}, 1, 1), {1: HERE, 2: GONE}) == CountAudit(1, 1, {})


def test_a_total_that_is_not_of_its_members_is_wrong() -> None:
    assert audited(Ledgered({1: HERE}, 1, 9), {1: HERE}) == CountAudit(1, 9, {})


def test_members_become_as_their_records() -> None:
    ledger = Ledgered({1: HERE, 2: GONE, 3: Membership(True, 4)}, 2, 2)
    recorded = {1: GONE, 2: GONE, 3: HERE, 4: HERE}
    assert audited(ledger, recorded) == CountAudit(2, 2, {1: GONE, 3: HERE, 4: HERE})


def test_who_has_no_record_counts_no_more() -> None:
    assert audited(Ledgered({1: HERE}, 1, 1), {}) == CountAudit(0, 1, {1: GONE})


def test_a_record_that_is_older_than_the_ledger_says_nothing() -> None:
    assert audited(Ledgered({1: HERE}, 1, 1), {1: Membership(False, 4)}) == CountAudit(1, 1, {})
