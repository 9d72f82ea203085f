"""What a method may keep beside the model."""

import pytest
import torch

from salmu_core import MethodSpec
from salmu_core.errors import MethodError
from salmu_core.run.state import savable
from salmu_core.testing import run_method

MODEL = torch.nn.BatchNorm1d(4)


def shared():
    whole = torch.zeros(4)
    return {"a": whole[:2], "b": whole[2:]}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ([torch.zeros(1)], "ctx.state is a list now"),
        ({1: torch.zeros(1)}, "a name must be a text, not a int"),
        ({"a": [1.0]}, "ctx.state['a'] is a list, which can't be saved"),
        ({"a": torch.eye(2).to_sparse()}, "ctx.state['a'] is a torch.float32 torch.sparse_coo tensor"),
        ({"a": torch.zeros(1, device="meta")}, "can't be saved: keep plain dense"),
        ({"a": torch.zeros(1, dtype=torch.complex128)}, "ctx.state['a'] is a torch.complex128 torch.strided tensor"),
        ({"__metadata__": torch.zeros(1)}, "by the names that safetensors takes"),
        (shared(), "ctx.state['b'] shares memory with ctx.state['a']: keep a clone()"),
        ({"a": MODEL.weight.detach()[:1]}, "ctx.state['a'] shares memory with ctx.model's weight: keep a clone()"),
        ({"a": MODEL.running_mean}, "ctx.state['a'] shares memory with ctx.model's running_mean: keep a clone()"),
    ],
)
def test_what_can_not_be_saved_is_a_sentence(state, words):
    with pytest.raises(MethodError) as told:
        savable(state, MODEL)
    assert words in str(told.value)


def test_what_is_kept_is_a_copy_whole_and_without_gradients():
    weight = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
    kept = savable({"turned": weight.T, "none": torch.zeros(0), "nothing": torch.zeros(0)}, MODEL)
    assert torch.equal(kept["turned"], weight.detach().T) and kept["turned"].is_contiguous()
    with torch.no_grad():
        weight.zero_()
    assert kept["turned"].any() and not kept["turned"].requires_grad


def test_a_run_that_is_no_result_keeps_nothing(tiny):
    def unlearn(ctx):
        ctx.state["a"] = torch.ones(1)
        if ctx.budget.forget == 16:
            with ctx.edit() as weights:
                weights["visual.proj"].mul_(2)

    spec = MethodSpec(name="a-method", summary="A test.", paper="https://example.org", unlearn=unlearn)
    valid, _ = run_method(spec, tiny, budget=1)
    unchanged, _ = run_method(spec, tiny, budget=2)
    assert valid.status == "valid" and torch.equal(valid.state["a"], torch.ones(1))
    assert unchanged.status == "unchanged" and unchanged.state == {}
