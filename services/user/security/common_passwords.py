"""The passwords that anyone would try first."""

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from services.user.domain.accounts import normal_password

LEAST_CHARS = 8
_COUNT = 3_000  # OWASP ASVS 5.0, 6.2.4
_COMMONEST = frozenset([word for word in FREQUENCY_LISTS["passwords"] if len(word) >= LEAST_CHARS][:_COUNT])


def is_common(password: str) -> bool:
    """Whether it is, in upper or lower case, one of the 3,000 commonest that are long enough."""
    return normal_password(password).lower() in _COMMONEST
