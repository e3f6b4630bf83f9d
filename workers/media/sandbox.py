"""What a decoding process may use; it confines itself before it looks at the first byte of a file."""

import resource

MEMORY_BYTES = 1 << 30  # the largest picture allowed needs about half of it
CPU_S = 20  # as much as the wall clock gives: a decoder has one thread
FILE_BYTES = 32 << 20  # no variant comes near it
OPEN_FILES = 32


def confine() -> None:
    """Lower this process's own limits, for good."""
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (least, least))
