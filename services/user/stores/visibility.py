"""The condition for a user to be visible to a reader."""


def is_visible(person: str, reader: str) -> str:
    """SQL: `person` is not banned and does not block `reader`, which may be null. Columns are qualified."""
    return (
        f"NOT EXISTS (SELECT FROM users hidden WHERE hidden.user_id = {person} AND hidden.banned_at IS NOT NULL)"  # noqa: S608 - of constants
        f" AND NOT EXISTS (SELECT FROM blocks wall WHERE wall.blocker = {person} AND wall.blocked = {reader})"
    )
