"""`python -m workers.media.decoding.decode SOURCE FOLDER`: decode a file in a confined process; JSON to stdout.

Exit status 0 with JSON is a result for the picture. SIGXCPU means that the picture needs too much CPU time. All other
ends are failures of the decoder, such as a file that can't be read or a module that can't be imported.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from libs.contracts.failures import FailureReason
from workers.media.decoding.sandbox import allow_cpu, confine
from workers.media.decoding.structure import NotShowableError, check, picture_only


def main(source: Path, folder: Path) -> dict[str, object]:
    """The JSON document: the decoded picture, or the reason to refuse it."""
    data = source.read_bytes()
    try:
        allow_cpu(check(data))
    except NotShowableError as error:
        return _refusal(error)
    from workers.media.decoding.images import make_variants  # after the check, because this import is slow

    try:
        return {"picture": asdict(make_variants(picture_only(data), folder))}
    except NotShowableError as error:
        return _refusal(error)
    except MemoryError:
        # The limit is on address space, which does not depend on the machine's load, so a retry would not help.
        return _refusal(NotShowableError(FailureReason.TOO_COMPLEX, "out of memory"))


def _refusal(error: NotShowableError) -> dict[str, object]:
    return {"reason": error.reason, "detail": error.detail}


if __name__ == "__main__":
    confine()
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
