"""What a decoding process may use; it confines itself before it looks at the first byte of a file."""

import math
import resource

from workers.media.decoding.structure import MAX_PIXELS

MEMORY_BYTES = 1 << 30  # the largest picture allowed needs about half of it
FILE_BYTES = 32 << 20  # no variant comes near it
OPEN_FILES = 32
SLOWEST_CPU_S = 1.1
"""Of all files of the test corpus that become pictures: a phone's JPEG of 12.5 megapixels, with the start of Python and
with all variants, on one core of the machine that also runs the tests. `pytest -m corpus -rP` prints it."""
SLOWEST_PIXELS = 12_533_760  # of that file


def cpu_s(pixels: int) -> int:
    """Twice what the slowest accepted picture took, and in proportion for those with more pixels than it had.

    In whole seconds, as the kernel counts.
    """
    return math.ceil(2 * SLOWEST_CPU_S * max(1.0, pixels / SLOWEST_PIXELS))


MAX_CPU_S = cpu_s(MAX_PIXELS)


def confine() -> None:
    """Lower this process's own limits, for good."""
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: MAX_CPU_S + 1,  # kills, if something has made it deaf to SIGXCPU
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (least, least))
    allow_cpu(0)


def allow_cpu(pixels: int) -> None:
    """From here on this process ends by SIGXCPU once it has used what a picture of so many pixels may cost."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (min(cpu_s(pixels), hard), hard))
