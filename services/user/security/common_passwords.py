"""Common passwords, which attackers try first."""

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from services.user.domain.accounts import normalized_password

MIN_CHARS = 8
_COUNT = 3_000  # OWASP ASVS 5.0, 6.2.4
_COMMON = frozenset([word for word in FREQUENCY_LISTS["passwords"] if len(word) >= MIN_CHARS][:_COUNT])


def is_common(password: str) -> bool:
    """Return whether it is, in upper or lower case, one of the 3,000 most common passwords of sufficient length."""
    return normalized_password(password).lower() in _COMMON
