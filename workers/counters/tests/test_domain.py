from hypothesis import given
from hypothesis import strategies as st

from workers.counters.domain import Act, Membership, fold, write_time

acts = st.lists(st.builds(Act, st.integers(1, 6), st.booleans(), st.integers(0, 8)), max_size=40)


def last_word(all_acts: list[Act]) -> dict[int, Act]:
    """For each member the first act of its highest version."""
    final: dict[int, Act] = {}
    for act in all_acts:
        if act.member not in final or act.version > final[act.member].version:
            final[act.member] = act
    return final


def distinct(all_acts: list[Act]) -> list[Act]:
    """As events are: one version of a member says one thing."""
    return list({(act.member, act.version): act for act in all_acts}.values())


@given(acts, st.randoms(), st.integers(1, 7))
def test_order_repetition_and_grouping_do_not_matter(drawn: list[Act], rng: object, step: int) -> None:
    given_acts = distinct(drawn)
    delivered = given_acts * 2
    rng.shuffle(delivered)  # type: ignore[attr-defined]
    members: dict[int, Membership] = {}
    total = 0
    for start in range(0, len(delivered), step):
        folded = fold(members, total, delivered[start : start + step])
        members, total = {**members, **folded.members}, folded.total
        assert total >= 0
    final = last_word(given_acts)
    assert total == sum(act.present for act in final.values())
    assert {m for m, membership in members.items() if membership.present} == {m for m, a in final.items() if a.present}


def test_nothing_new_changes_nothing() -> None:
    assert fold({1: Membership(True, 5)}, 1, [Act(1, False, 5), Act(1, False, 4)]).members == {}


def test_write_times_grow_with_offsets_and_epochs() -> None:
    assert write_time(0, 5) < write_time(0, 6) < write_time(1, 0)
