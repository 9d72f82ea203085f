"""What draws comes with an extra: without it two commands say what to install, and all others work."""

import subprocess
import sys

import pytest

WITHOUT = """
import sys
sys.modules["altair"] = sys.modules["vl_convert"] = None
sys.argv = ["salmu", *sys.argv[1:]]
from salmu_core.cli import main
main()
"""


@pytest.mark.parametrize(("command", "needs"), [("report", True), ("plot", True), ("results", False)])
def test_what_draws_says_what_to_install(tmp_path, command, needs):
    done = subprocess.run([sys.executable, "-c", WITHOUT, command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode and "Traceback" not in done.stderr
    assert ("pip install 'salmu-core[report]'" in done.stderr) == needs
    assert ("has no results" in done.stderr) != needs
