"""What can not be compared is a sentence, and what is damaged is never compared."""

import shutil

import pytest
from stores import write_run
from two_models import A, B

from salmu_core.contract.layout import WEIGHTS
from salmu_core.errors import StoreError, UsageError
from salmu_core.judge.diff import read_two
from salmu_core.store.folders import METRICS, RUN
from salmu_core.store.schema import ROWS


def refused(root, case):
    """A pair that can't be difference."""
    a = write_run(root, "one", A)
    other = {
        "other data": lambda: write_run(root, "two", B, data="other"),
        "zero-shot": lambda: write_run(root, "two", B, zeroshot="other"),
        "crashed": lambda: write_run(root, "two", None, status="crashed", reason="it fell"),
        "no metrics": lambda: write_run(root, "two", None),
        "in common": lambda: write_run(root, "two", {"Strange": B["AssocStr"]}),
        "same folder": lambda: a.parent / "." / a.name,
        "same weights": lambda: copied(a, root),
        "neither a run folder": lambda: root,
    }
    return a, other[case]()


def copied(folder, root):
    return shutil.copytree(folder, root / "mini" / "one" / "again" / "b5-s0")


@pytest.mark.parametrize(
    "case",
    [
        "other data",
        "zero-shot",
        "crashed",
        "no metrics",
        "in common",
        "same folder",
        "same weights",
        "neither a run folder",
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_what_cannot_be_compared_is_a_sentence(tmp_path, case, turned):
    a, b = refused(tmp_path, case)
    with pytest.raises(UsageError, match=case):
        read_two(*((b, a) if turned else (a, b)))


@pytest.mark.parametrize("file", [RUN, METRICS, ROWS, WEIGHTS])
def test_what_is_damaged_is_refused(tmp_path, file):
    a, b = write_run(tmp_path, "one", A), write_run(tmp_path, "two", B)
    (b / file).write_bytes(b"{")
    with pytest.raises(StoreError, match=file):
        read_two(a, b)


def test_what_was_published_has_no_rows_and_is_told_so(tmp_path):
    a, b = write_run(tmp_path, "one", A), write_run(tmp_path, "two", B)
    (b / ROWS).unlink()
    with pytest.raises(UsageError, match="What was published holds none"):
        read_two(a, b)
