"""`python -m workers.media.decoding.decode SOURCE FOLDER`: decode a file in a confined process; JSON to stdout.

An answer and exit status 0 are a verdict on the picture. Anything else, such as a traceback when a file can't be read
or written or a module not be imported, is a failure of ours. SIGXCPU is the picture's: it cost more than it may.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from libs.contracts.failures import FailureReason
from workers.media.decoding.sandbox import allow_cpu, confine
from workers.media.decoding.structure import NotShowableError, check, picture_only


def main(source: Path, folder: Path) -> dict[str, object]:
    """What the picture is, or the reason why it is none."""
    data = source.read_bytes()
    try:
        allow_cpu(check(data))
    except NotShowableError as error:
        return _refusal(error)
    from workers.media.decoding.images import make_variants  # after the check: most of the time to start goes into this

    try:
        return {"picture": asdict(make_variants(picture_only(data), folder))}
    except NotShowableError as error:
        return _refusal(error)
    except MemoryError:
        # The limit is one of address space: how busy the machine is does not matter, so another try would end here too.
        return _refusal(NotShowableError(FailureReason.TOO_COMPLEX, "out of memory"))


def _refusal(error: NotShowableError) -> dict[str, object]:
    return {"reason": error.reason, "detail": error.detail}


if __name__ == "__main__":
    confine()
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
