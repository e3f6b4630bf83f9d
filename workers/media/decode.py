"""`python -m workers.media.decode SOURCE FOLDER`: one file into its variants, in a confined process; JSON to stdout."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from workers.media.sandbox import confine


def main(source: Path, folder: Path) -> dict[str, object]:
    """What the picture is, or the reason why it is none."""
    from workers.media.images import NotShowableError, make_variants

    try:
        return {"picture": asdict(make_variants(source, folder))}
    except NotShowableError as error:
        return {"reason": error.reason}
    except MemoryError:
        return {"reason": "too_many_pixels"}


if __name__ == "__main__":
    confine()
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
