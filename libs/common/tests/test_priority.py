import os
import subprocess
import sys

import pytest

from libs.common.runtime.priority import _AUTOGROUP, NICE

TELL = """
import os
from libs.common.runtime.priority import _AUTOGROUP, lower_priority
lower_priority()
print(os.nice(0), *(_AUTOGROUP.read_text() if _AUTOGROUP.exists() else "").split()[-1:])
"""


@pytest.mark.parametrize("leads", [True, False])
def test_only_the_leader_of_a_session_lowers_it(*, leads: bool) -> None:
    # the file is empty in a control group that has a CPU share of its own
    before = (_AUTOGROUP.read_text() if _AUTOGROUP.exists() else "").split()[-1:]
    ran = subprocess.run(
        [sys.executable, "-c", TELL], capture_output=True, text=True, check=True, start_new_session=leads
    )
    of_session = [str(NICE)] if leads and before else before
    assert ran.stdout.split() == [str(min(19, os.nice(0) + NICE)), *of_session]
