"""What a process can still reach after it has given up the rest."""

import os

import pytest

from salmu_core.disk import landlock

pytestmark = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


def test_what_is_not_named_is_out_of_reach_and_what_is_not_there_does_no_harm(tmp_path):
    for name in ("shown", "hidden", "scratch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "shown" / "link").symlink_to(tmp_path / "hidden" / "file")
    missing = [tmp_path / "gone", tmp_path / "shown" / "file" / "below", tmp_path / ("x" * 300)]
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        return
    code = 1
    try:
        landlock.confine([*missing, tmp_path / "shown"], [tmp_path / "scratch"])
        denied = []
        for place, mode in (("hidden/file", "r"), ("shown/link", "r"), ("shown/file", "a"), ("scratch/../new", "w")):
            try:
                (tmp_path / place).open(mode)
            except PermissionError:
                denied.append(place)
        (tmp_path / "shown" / "file").read_text()
        (tmp_path / "scratch" / "new").write_text("written")
        code = 0 if len(denied) == 4 else 2
    finally:
        os._exit(code)
