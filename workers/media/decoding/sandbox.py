"""Resource limits of a decoding process, which sets them before it reads the file."""

import math
import resource

from workers.media.decoding.structure import MAX_PIXELS

MEMORY_BYTES = 1 << 30  # twice what the largest accepted picture needs
FILE_BYTES = 32 << 20  # far more than any variant
OPEN_FILES = 32
SLOWEST_CPU_S = 1.1
"""The most CPU time for an accepted file of the test corpus, a JPEG of 12.5 megapixels from a phone.

It includes the start of Python and all variants, on one core. `pytest -m corpus -rP` prints it."""
SLOWEST_PIXELS = 12_533_760  # the size of that file


def cpu_s(pixels: int) -> int:
    """The CPU limit for a picture: twice the time of the slowest accepted one, in proportion for more pixels.

    It is in whole seconds, because the kernel's limit is.
    """
    return math.ceil(2 * SLOWEST_CPU_S * max(1.0, pixels / SLOWEST_PIXELS))


MAX_CPU_S = cpu_s(MAX_PIXELS)


def confine() -> None:
    """Lower the limits of this process permanently."""
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: MAX_CPU_S + 1,  # kills the process even if it ignores SIGXCPU
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
    """Set the CPU limit of this process for a picture of this many pixels. SIGXCPU ends the process beyond it."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (min(cpu_s(pixels), hard), hard))
