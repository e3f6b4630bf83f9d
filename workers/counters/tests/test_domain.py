from hypothesis import given
from hypothesis import strategies as st

from workers.counters.domain import Membership, MembershipChange, apply_changes, write_time

changes = st.lists(st.builds(MembershipChange, st.integers(1, 6), st.booleans(), st.integers(0, 8)), max_size=40)


def last_word(all_acts: list[MembershipChange]) -> dict[int, MembershipChange]:
    """Return the first change of the highest version of each member."""
    final: dict[int, MembershipChange] = {}
    for change in all_acts:
        if change.member not in final or change.version > final[change.member].version:
            final[change.member] = change
    return final


def distinct(all_acts: list[MembershipChange]) -> list[MembershipChange]:
    """As events are: one version of a member says one thing."""
    return list({(change.member, change.version): change for change in all_acts}.values())


@given(changes, st.randoms(), st.integers(1, 7))
def test_order_repetition_and_grouping_do_not_matter(drawn: list[MembershipChange], rng: object, step: int) -> None:
    given_acts = distinct(drawn)
    delivered = given_acts * 2
    rng.shuffle(delivered)  # type: ignore[attr-defined]
    members: dict[int, Membership] = {}
    total = 0
    for start in range(0, len(delivered), step):
        update = apply_changes(members, total, delivered[start : start + step])
        members, total = {**members, **update.members}, update.total
        assert total >= 0
    final = last_word(given_acts)
    assert total == sum(change.present for change in final.values())
    assert {m for m, membership in members.items() if membership.present} == {m for m, a in final.items() if a.present}


def test_nothing_new_changes_nothing() -> None:
    assert (
        apply_changes(
            {1: Membership(True, 5)}, 1, [MembershipChange(1, False, 5), MembershipChange(1, False, 4)]
        ).members
        == {}
    )


def test_write_times_grow_with_offsets_and_epochs() -> None:
    assert write_time(0, 5) < write_time(0, 6) < write_time(1, 0)
