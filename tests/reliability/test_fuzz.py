"""A few spoiled files for every reader, other ones each time: each is read, or refused in a sentence."""

import os
import secrets
import sys
import time
from pathlib import Path

import pytest
from stores import around, leak, write_reference, write_run

from salmu_core.disk import stamps

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
#: Set to what a failure has printed, to have it again.
SEED = os.environ.get("SALMU_FUZZ_SEED")
#: Seconds of a processor that are spent.
SPENT = 4.0


@pytest.fixture
def fuzz(monkeypatch):
    """The script, as a module."""
    for folder in ("speed", "reliability"):
        monkeypatch.syspath_prepend(str(SCRIPTS / folder))
    import fuzz

    return fuzz


@pytest.mark.skipif(sys.platform != "linux", reason="the script forks, and looks into /proc")
def test_a_spoiled_file_is_read_or_refused_in_a_sentence(fuzz, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("SALMU_CACHE", "")  # to be put back, as the next
    monkeypatch.setattr(stamps, "GRANULARITY_NS", 0)
    scored = {"AssocStr": around(0.3), **leak(range(1, 81))}
    for role in ("clean", "compromised"):
        write_reference(tmp_path / "runs", role, scored)
    write_run(tmp_path / "runs", "finetuning", scored)
    work = tmp_path / "work"
    work.mkdir()
    subjects = fuzz.readers(tiny, tmp_path / "runs", work)
    assert len(subjects) >= 20
    wholes = {name: reader.file.read_bytes() for name, reader in subjects.items()}
    for reader in subjects.values():
        reader.read()  # as they are, all are well
    seed = int(SEED or secrets.randbelow(2**32))
    print(f"SALMU_FUZZ_SEED={seed}")
    begun, wrong = time.process_time(), []
    for turn in fuzz.seeds(subjects, seed, 100_000):
        name = turn.partition(" ")[2]
        wrong += filter(None, [fuzz.trial(name, subjects[name], wholes[name], turn).wrong])
        if time.process_time() - begun > SPENT:
            break
    assert not wrong, "\n".join(wrong)
