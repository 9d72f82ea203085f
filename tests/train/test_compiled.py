"""Compiled towers compute what the others do; where they can't be, the run goes on without and says so once."""

import copy
import os
import shutil

import pytest
import torch
from accelerate import Accelerator
from torch._dynamo.backends.common import aot_autograd

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.clip.weights import fingerprint
from salmu_core.plugins.zoo import discover
from salmu_core.run.runner import run_one
from salmu_core.run.session import TrainingSession
from salmu_core.testing import tiny_model
from salmu_core.train import compiled
from salmu_core.train.compiled import FEW_PAIRS, MANY_STEPS, Compiler
from salmu_core.train.pieces import Pieces

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}
NEEDS_CXX = pytest.mark.skipif(
    not shutil.which(os.environ.get("CXX", "g++")), reason="there is no C++ compiler on this machine"
)


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def backend(monkeypatch):
    """Compiles with a function instead of torch's own backend; gives a list to set it by."""
    chosen = []

    def compile(self, dynamic=None, options=None):
        self._compiled_call_impl = torch.compile(self._call_impl, dynamic=dynamic, backend=chosen[0])

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    return chosen


def objective(ctx, step):
    forget, retain = map(ctx.features, (step.forget, step.retain))
    return {
        "forget": (forget.image * forget.text).sum(-1).mean(),
        "retain": -(retain.image * retain.text).sum(-1).mean(),
    }


SPEC = MethodSpec(**FACTS, config=TrainingConfig, loss=objective)


def run(tiny, compiler=None, spec=SPEC):
    benchmark = open_benchmark(str(tiny), discover(()), lambda *_: None)
    accelerator = Accelerator(cpu=True)
    session = TrainingSession.open(benchmark, accelerator)
    return run_one(spec, TrainingConfig(batch_size=4, lr=1e-3), 1, 0, session, accelerator, compiler=compiler)


def near(ours, theirs, tolerance=1e-5):
    for (name, a), (_, b) in zip(ours.model.state_dict().items(), theirs.model.state_dict().items(), strict=True):
        assert (a - b).abs().max() <= tolerance, name


@NEEDS_CXX
def test_a_compiled_run_comes_to_where_the_eager_one_comes(tiny):
    words = []
    eager, fast = run(tiny), run(tiny, Compiler("on", words.append))
    assert fast.status == "valid" and fast.compiled == "inductor" and not eager.compiled and not words
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2  # of both towers
    near(fast, eager)


def test_a_compile_that_fails_is_said_once_and_the_run_is_the_eager_one(tiny, backend):
    def fails(graph, inputs):
        raise RuntimeError("this compiler is broken\nand says more")

    backend.append(fails)
    words = []
    compiler = Compiler("on", words.append)
    runs = [run(tiny, compiler) for _ in range(2)]
    assert len(words) == 1 and "this compiler is broken" in words[0] and "says more" not in words[0]
    assert runs[0].compiled == "inductor, given up" and runs[1].compiled == ""
    assert {fingerprint(r.model) for r in runs} == {fingerprint(run(tiny).model)}
    assert runs[0].ledger.steps == runs[1].ledger.steps


def test_a_compile_that_fails_on_the_way_back_is_no_other(tiny, backend):
    def backward(graph, inputs):
        raise RuntimeError("no way back")

    backend.append(aot_autograd(fw_compiler=lambda graph, inputs: graph.forward, bw_compiler=backward))
    words = []
    outcome = run(tiny, Compiler("on", words.append))
    assert outcome.status == "valid" and len(words) == 1
    assert fingerprint(outcome.model) == fingerprint(run(tiny).model)


def test_what_a_method_does_wrong_stays_its_own(tiny, backend):
    def wrong(ctx, step):
        return ctx.features(step.forget).image.sum() / 0.0 + undefined  # noqa: F821

    backend.append("eager")
    words = []
    spec = MethodSpec(**FACTS, config=TrainingConfig, loss=wrong)
    outcome = run(tiny, Compiler("on", words.append), spec)
    assert outcome.status == "crashed" and "undefined" in outcome.reason and not words


def test_memory_that_runs_out_is_met_with_pieces_that_are_compiled_too(tiny, backend, monkeypatch):
    backend.append("eager")
    encode, attempts = Pieces.encode, []

    def full(self, tower, inputs):
        attempts.append(len(inputs))
        if not self.size and len(attempts) > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(self, tower, inputs)

    eager = run(tiny)
    monkeypatch.setattr(Pieces, "encode", full)
    words = []
    pieces = run(tiny, Compiler("on", words.append))
    assert pieces.status == "valid" and pieces.micro_batch and pieces.compiled == "inductor" and not words
    near(pieces, eager)


def test_outside_of_training_nothing_is_compiled_nor_in_copies(backend):
    backend.append("eager")
    model = tiny_model()
    with Compiler("on").towers(model, 4, 10):
        assert model.visual._compiled_call_impl and model.transformer._compiled_call_impl
        assert copy.deepcopy(model).visual._compiled_call_impl is None
        assert model.state_dict().keys() == tiny_model().state_dict().keys()
    assert model.visual._compiled_call_impl is None and model.transformer._compiled_call_impl is None


@pytest.mark.parametrize(
    "wish, card, whole, pairs, steps, used",
    [
        ("off", True, True, 16, MANY_STEPS, ""),
        ("auto", False, True, 16, MANY_STEPS, ""),
        ("auto", True, True, 16, MANY_STEPS, "CUDA graphs"),
        ("auto", True, True, FEW_PAIRS + 1, MANY_STEPS, ""),
        ("auto", True, True, 16, MANY_STEPS - 1, ""),
        ("auto", True, False, 16, MANY_STEPS, ""),
        ("on", True, True, 512, 1, "CUDA graphs"),
        ("on", True, False, 512, 1, "inductor"),
        ("on", False, True, 512, 1, "inductor"),
    ],
)
def test_where_it_is_done(backend, monkeypatch, wish, card, whole, pairs, steps, used):
    backend.append("eager")
    compiler, model = Compiler(wish), tiny_model()
    monkeypatch.setattr(compiled, "_on_card", lambda _: card)
    with compiler.towers(model, pairs, steps, whole):
        assert bool(model.visual._compiled_call_impl) == bool(used)
    assert compiler.used == used


def test_graphs_make_room_before_batches_are_cut(backend, monkeypatch):
    backend.append("eager")
    words, model = [], tiny_model()
    compiler = Compiler("on", words.append)
    monkeypatch.setattr(compiled, "_on_card", lambda _: True)
    with compiler.towers(model, 4, 10):
        images = torch.randn(2, 3, 16, 16)
        first = model.encode_image(images)
        assert first.data_ptr() != model.encode_image(images).data_ptr()
        assert compiler.gave_up(torch.OutOfMemoryError("CUDA out of memory"))
        assert not compiler.gave_up(torch.OutOfMemoryError("CUDA out of memory"))  # nothing left to give up
    assert compiler.used == "CUDA graphs, given up" and "memory" in words[0]
    with compiler.towers(model, 4, 10):  # the next run may have room
        assert model.visual._compiled_call_impl
