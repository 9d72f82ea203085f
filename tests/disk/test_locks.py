"""Locks of several people who share a folder."""

import multiprocessing

import pytest
from filelock import FileLock

from salmu_core.disk.locks import held
from salmu_core.errors import FileError
from salmu_core.store.folders import RunKey, Store


def test_a_lock_is_one_holders(tmp_path):
    with held(tmp_path / "a.lock") as ours:
        assert ours
        with multiprocessing.get_context("spawn").Pool(1) as others:
            assert others.apply(_holds, (tmp_path / "a.lock",)) is False
    assert _holds(tmp_path / "a.lock")


def _holds(path):
    with held(path, wait=False) as ours:
        return ours


def test_a_lock_that_is_somebody_elses_says_whose(tmp_path, monkeypatch):
    def refused(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self.lock_file))

    monkeypatch.setattr(FileLock, "acquire", refused)
    store = Store(tmp_path)
    folder = store.folder(RunKey("a", "b", "c", 5, 0))
    whose = f"{folder.parent} belongs to {tmp_path.owner()} and .*umask 002"
    with pytest.raises(FileError, match=whose), store.claim(folder):
        pass
    folder.with_name(".b5-s0.lock").touch()
    with pytest.raises(FileError, match=r"b5-s0\.lock belongs to"), store.claim(folder):
        pass
