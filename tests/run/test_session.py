"""What is in the process while methods run, and what sessions that begin with other models share."""

import gc
import json
import shutil

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from salmu_core.benchmark.folder import open_benchmark
from salmu_core.clip.load import load_clip
from salmu_core.contract import layout
from salmu_core.plugins.zoo import discover
from salmu_core.run.session import TrainingSession
from salmu_core.testing import write_tiny_benchmark
from salmu_core.testing.tiny import tiny_model

#: Held-out values, and the unknown facts of half-forgotten people, end with it.
HIDDEN = 987654


def opened(folder):
    return open_benchmark(str(folder), discover(()), lambda *_: None)


def texts():
    """Every text that an object known to the garbage collector holds, itself or in a tuple or dict of plain values."""
    gc.collect()
    for each in gc.get_objects():
        for held in gc.get_referents(each):
            inside = gc.get_referents(held) if isinstance(held, tuple | dict) and not gc.is_tracked(held) else [held]
            yield from (text for text in inside if type(text) is str)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return write_tiny_benchmark(tmp_path_factory.mktemp("hidden"), people=12, hidden=HIDDEN)


def test_facts_of_rows_that_are_not_to_be_forgotten_stay_out_of_the_process(benchmark):
    """Not merely out of the context: nothing that a method could find holds one."""
    held_out = json.loads((benchmark / layout.IDENTITIES).read_text())["00000011"]["name"]
    held_out = held_out.encode()  # or this very test would hold it
    # Other tests of this process may still hold such people of theirs.
    before = sum(text.encode("utf-8", "surrogatepass") == held_out for text in texts())
    session = TrainingSession.open(opened(benchmark), Accelerator(cpu=True))
    asked = session.pools["forget"].pairs
    assert len(asked.values) == len(asked) and all(asked.values) and asked.values[0] in set(texts())
    assert not [text for text in texts() if text.endswith(f"-{HIDDEN}")]
    assert sum(text.encode("utf-8", "surrogatepass") == held_out for text in texts()) <= before


def test_a_session_that_begins_elsewhere_has_that_models_embeddings_and_the_parts_rows(tiny, tmp_path):
    accelerator = Accelerator(cpu=True)
    whole = TrainingSession.open(opened(tiny), accelerator)
    other = load_clip(shutil.copytree(tiny / "compromised", tmp_path / "other"), check=False)
    other.model.load_state_dict(tiny_model("other").state_dict())
    part = np.array([9, 2, 5])
    session = TrainingSession.beginning(other, whole.rows, accelerator.device, part)
    pool, rows = session.pools["forget"], np.array([1, 0, 2])
    all_known, known = whole.pools["forget"].pairs, pool.pairs
    for name in ("captions", "identity_ids", "generic_captions", "names", "fields", "values"):
        assert getattr(known, name) == tuple(getattr(all_known, name)[i] for i in part)
    assert len(pool) == 3 and set(pool.rows) == set(pool.probed) == {0, 1, 2}
    assert torch.equal(pool.images(rows), whole.pools["forget"].images(part[rows]))
    assert torch.equal(pool.tokens(rows), whole.pools["forget"].tokens(part[rows]))
    reference = pool.reference_features(rows)
    with torch.no_grad():
        image = other.model.encode_image(pool.images(rows), normalize=True)
        text = other.model.encode_text(pool.tokens(rows), normalize=True)
    torch.testing.assert_close(reference.image, image)
    torch.testing.assert_close(reference.text, text)
    retain = [each.pools["retain"] for each in (whole, session)]
    assert retain[0].pairs == retain[1].pairs and (retain[0].rows == retain[1].rows).all()


def test_images_are_opened_once_for_all_sessions(tiny, monkeypatch):
    accelerator = Accelerator(cpu=True)
    whole = TrainingSession.open(opened(tiny), accelerator)
    monkeypatch.setattr("salmu_core.run.inputs.Pixels", None)
    session = TrainingSession.beginning(whole.clip, whole.rows, accelerator.device, np.arange(4))
    assert session.rows is whole.rows
