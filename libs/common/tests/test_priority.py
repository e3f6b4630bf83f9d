import os
import subprocess
import sys

import pytest

from libs.common.core.priority import NICE

TELL = """
import os
from libs.common.core.priority import _AUTOGROUP, lower_priority
def of_session():
    return (_AUTOGROUP.read_text() if _AUTOGROUP.exists() else "").split()[-1:]
print(*of_session())
lower_priority()
print(os.nice(0))
print(*of_session())
"""


@pytest.mark.parametrize("leads", [True, False])
def test_only_the_leader_of_a_session_lowers_it(*, leads: bool) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TELL], capture_output=True, text=True, check=True, start_new_session=leads
    )
    # empty without sessions that share the CPU; only the child can tell, as its parent's session may be another kind
    before, own, after = ran.stdout.splitlines()
    assert own == str(min(19, os.nice(0) + NICE))
    assert after == (str(NICE) if leads and before else before)
