import os
import subprocess
import sys

import pytest

from libs.common.runtime.priority import _AUTOGROUP, NICE

TELL = """
import os
from libs.common.runtime.priority import _AUTOGROUP, lower_priority
lower_priority()
print(os.nice(0), _AUTOGROUP.read_text().split()[-1] if _AUTOGROUP.exists() else "")
"""


@pytest.mark.parametrize("leads", [True, False])
def test_only_the_leader_of_a_session_lowers_it(*, leads: bool) -> None:
    before = _AUTOGROUP.read_text().split()[-1] if _AUTOGROUP.exists() else ""
    ran = subprocess.run(
        [sys.executable, "-c", TELL], capture_output=True, text=True, check=True, start_new_session=leads
    )
    of_session = str(NICE) if leads and before else before
    nice = min(19, os.nice(0) + NICE)
    assert ran.stdout.split() == [str(nice), *([of_session] if of_session else [])]
