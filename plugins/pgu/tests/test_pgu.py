import numpy as np
import pytest
import salmu_pgu as plugin
import torch

from salmu_core.testing import check_method, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("pgu")


@pytest.mark.parametrize("energy", [0.5, 0.95, 1.0])
def test_the_directions_are_those_of_the_singular_values_that_hold_the_energy(energy):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 6)) * [9, 5, 2, 1, 0.3, 0.1] @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    _, values, rows = np.linalg.svd(x)
    held = np.cumsum(values**2) / (values**2).sum()
    count = int(np.argmax(held >= energy - 1e-9)) + 1
    basis = plugin.spanned(torch.tensor(x.T @ x), energy).numpy()
    np.testing.assert_allclose(basis @ basis.T, rows[:count].T @ rows[:count], atol=1e-6)


def test_a_change_does_not_show_in_what_the_layer_makes_of_the_span():
    generator = torch.Generator().manual_seed(0)
    weight, x = (torch.randn(5, 8, dtype=torch.float64, generator=generator) for _ in range(2))
    x = x[:3]
    module = plugin.Unseen(weight, torch.linalg.qr(x.T)[0])
    assert torch.equal(module(weight), weight)
    module.change.data.copy_(torch.randn(5, 8, generator=generator))
    assert torch.allclose(module(weight) @ x.T, weight @ x.T) and not torch.allclose(module(weight), weight)
    seen = torch.autograd.grad(module(weight).square().sum(), module.change)[0]
    assert torch.allclose(seen @ x.T, torch.zeros(5, 3, dtype=torch.float64), atol=1e-10)


@pytest.mark.parametrize("loss", ["delete", "negative-gradient"])
def test_a_run_changes_matrices_outside_of_the_span_and_nothing_else(tiny_benchmark, monkeypatch, loss):
    bases, find = [], plugin.spanned
    monkeypatch.setattr(plugin, "spanned", lambda *given: bases.append(find(*given)) or bases[-1])
    settings = {"batch_size": 4, "weight_decay": 0.1, "lr": 1e-2}
    outcome, session = run_method(SPEC, tiny_benchmark, budget=2, loss=loss, settings=settings)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    before = dict(session.clip.model.named_parameters())
    moved = {name: (p - before[name]).detach() for name, p in outcome.model.named_parameters()}
    moved = {name: change for name, change in moved.items() if change.any()}
    ends = ("attn.in_proj_weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    assert moved and all(name.endswith(ends) for name in moved) and len(bases) == 6
    spans = {basis.shape[0]: [] for basis in bases}
    for basis in bases:
        spans[basis.shape[0]].append(basis)
    for name, change in moved.items():  # of the layers of its width, one has a span that it does not touch
        assert min(float((change @ basis).norm() / change.norm()) for basis in spans[change.shape[1]]) < 1e-3, name
    assert before.keys() == dict(outcome.model.named_parameters()).keys()
