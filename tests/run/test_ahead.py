"""Images read ahead of the step: the same, in the same order, from a thread that leaves nothing behind."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.clip.weights import fingerprint
from salmu_core.errors import BenchmarkError
from salmu_core.run import draws
from salmu_core.run.ahead import Ahead, ahead
from salmu_core.testing import run_method

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}


class Near:
    """A lane to where one is already, which remembers who sent what."""

    def __init__(self):
        self.senders, self.received = [], 0

    def send(self, pixels):
        self.senders.append(threading.current_thread().name)
        return pixels.clone()

    def receive(self, sent):
        self.received += 1
        return sent


class Plain:
    """A set of numbers; each read is remembered."""

    name, captions = "forget", tuple("abcdefghij")

    def __init__(self):
        self.reads = []

    def pixels(self, index):
        self.reads.append(index.tolist())
        return torch.from_numpy(index)

    def normalized(self, pixels):
        return pixels * 10

    def images(self, index):
        return self.normalized(self.pixels(index))


def rows(step):
    return np.array([step, step + 1])


@pytest.fixture
def reader():
    made = Ahead(Near())
    yield made
    made.close()


def look(reader, pool, step):
    return reader.drawn(pool, step, rows).images(rows(step)).tolist()


def test_every_step_has_its_own_rows_and_the_next_ones_are_read_in_a_thread(reader):
    pool = Plain()
    assert [look(reader, pool, step) for step in range(4)] == [[10 * s, 10 * s + 10] for s in range(4)]
    assert reader._lane.received == 3 and set(reader._lane.senders) == {"ahead_0"}
    reader.close()
    assert sorted(pool.reads)[:4] == [[0, 1], [1, 2], [2, 3], [3, 4]]  # none twice


def test_a_step_that_nobody_looked_at_is_passed_over(reader):
    pool = Plain()
    look(reader, pool, 0)
    assert look(reader, pool, 5) == [50, 60]
    assert look(reader, pool, 6) == [60, 70] and reader._lane.received == 1


def test_what_goes_wrong_is_said_where_it_is_asked_for_and_read_again_after(reader):
    class Broken(Plain):
        def pixels(self, index):
            if index[0] == 1 and threading.current_thread() is not threading.main_thread():
                raise BenchmarkError("image 1 can't be read")
            return super().pixels(index)

    pool = Broken()
    assert look(reader, pool, 0) == [0, 10]
    with pytest.raises(BenchmarkError, match="image 1"):
        look(reader, pool, 1)
    assert look(reader, pool, 1) == [10, 20]


def test_an_end_waits_for_the_thread_and_a_batch_can_be_looked_at_later(reader):
    before = threading.active_count()
    pool = Plain()
    late = reader.drawn(pool, 1, rows)
    look(reader, pool, 0)
    reader.close()
    assert threading.active_count() <= before
    assert late.images(rows(1)).tolist() == [10, 20] and not reader._coming


def test_on_a_cpu_there_is_no_thread():
    with ahead(torch.device("cpu")) as reader:
        assert reader is None


def objective(ctx, step):
    terms = [1 - pair.image.mul(pair.text).sum(-1).mean() for pair in map(ctx.features, (step.forget, step.retain))]
    return {"forget": -terms[0], "retain": terms[1]}


@contextmanager
def reading(_device):
    made = Ahead(Near())
    LANES.append(made._lane)
    try:
        yield made
    finally:
        made.close()


LANES = []


def test_a_run_is_the_same_and_pays_for_nothing_that_it_does_not_ask_for(tiny, monkeypatch):
    spec = MethodSpec(**FACTS, config=TrainingConfig, loss=objective)
    plain, _ = run_method(spec, tiny, batch_size=4, lr=1e-3)
    monkeypatch.setattr(draws, "ahead", reading)
    read, _ = run_method(spec, tiny, batch_size=4, lr=1e-3)
    assert plain.status == read.status == "valid" and plain.ledger.steps > 3
    assert LANES and LANES[-1].received == 2 * (read.ledger.steps - 1)
    assert fingerprint(plain.model) == fingerprint(read.model)
    drawn = [(o.ledger.forget_samples, o.ledger.retain_samples, o.ledger.steps) for o in (plain, read)]
    assert drawn[0] == drawn[1]


def test_memory_that_runs_out_meanwhile_is_met_with_smaller_pieces(tiny, monkeypatch):
    class Full(Near):
        def send(self, pixels):
            if len(self.senders) == 2:
                self.senders.append("full")
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().send(pixels)

    @contextmanager
    def full(_device):
        made = Ahead(Full())
        yield made
        made.close()

    spec = MethodSpec(**FACTS, config=TrainingConfig, loss=objective)
    whole, _ = run_method(spec, tiny, batch_size=4, lr=1e-3)
    monkeypatch.setattr(draws, "ahead", full)
    pieces, _ = run_method(spec, tiny, batch_size=4, lr=1e-3)
    assert pieces.status == "valid" and 0 < pieces.micro_batch < 4
    for (name, a), (_, b) in zip(whole.model.state_dict().items(), pieces.model.state_dict().items(), strict=True):
        assert torch.allclose(a, b, atol=1e-5), name
