from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import salmu_ssd as plugin
import torch

from salmu_core import Features
from salmu_core.testing import check_method, random_pairs, run_method

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("ssd")


def by_hand(weight, forget, retain, selection, dampening):
    """Algorithm 1 of the paper, weight by weight."""
    after = weight.copy()
    for place in np.ndindex(weight.shape):
        if forget[place] > selection * retain[place]:
            after[place] *= min(dampening * retain[place] / forget[place], 1)
    return after


@pytest.mark.parametrize(("selection", "dampening"), [(10, 1), (2, 0.1), (0.5, 1.5)])
def test_weights_are_dampened_as_published(selection, dampening):
    rng = np.random.default_rng(0)
    weight, forget, retain = rng.normal(size=(3, 40, 30))
    forget, retain = forget**2, retain**2 * rng.choice([0, 0.01, 1], size=retain.shape)
    forget[0] = 0
    logged, found = {}, {"forget": forget, "retain": retain}
    changed = torch.tensor(weight)
    ctx = SimpleNamespace(
        config=plugin.Config(selection=selection, dampening=dampening),
        gradients=lambda loss, *, on, power: {"w": torch.tensor(found[on])} if power == 2 else None,
        edit=lambda: nullcontext({"w": changed, "frozen": torch.ones(2)}),
        log=logged.__setitem__,
    )
    plugin.unlearn(ctx)
    expected = by_hand(weight, forget, retain, selection, dampening)
    assert changed.numpy() == pytest.approx(expected, rel=1e-12)
    assert np.isfinite(expected).all() and (expected[0] == weight[0]).all() and (expected != weight).any()
    assert logged["dampened"] == pytest.approx((forget > selection * retain).mean())


def test_what_goes_through_each_pair_adds_up_to_the_batchs_gradient():
    pairs = random_pairs(1, pairs=6)
    images, texts = torch.tensor(pairs.image), torch.tensor(pairs.text)
    maps = [torch.randn(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) for k in (0, 1)]
    for matrix in maps:
        matrix.requires_grad_()

    def embedded(rows):
        sides = (torch.nn.functional.normalize(x[rows] @ m, dim=1) for x, m in zip((images, texts), maps, strict=True))
        return Features(*sides)

    whole = embedded(range(6))
    logits, own = 7 * whole.similarity, torch.arange(6)
    batch = torch.nn.functional.cross_entropy(logits, own) + torch.nn.functional.cross_entropy(logits.T, own)
    expected = torch.autograd.grad(batch / 2, maps)
    parts = []
    for row in range(6):
        with torch.no_grad():
            bank = embedded([other for other in range(6) if other != row])
        value = plugin.among(bank, embedded([row]), torch.tensor(7.0))
        assert value.item() == pytest.approx(batch.item() / 2, rel=1e-12)
        parts.append(torch.autograd.grad(value, maps))
    for found, one in zip(map(sum, zip(*parts, strict=True)), expected, strict=True):
        assert found.numpy() == pytest.approx(one.numpy(), abs=1e-12)


def test_the_information_depends_on_the_batch_size_and_variants_differ(tiny_benchmark):
    settings = ({"batch_size": 4}, {"batch_size": 8}, {"variant": "per-sample", "bank": 4})
    shares = []
    for config in settings:
        outcome, _ = run_method(SPEC, tiny_benchmark, selection=2, **config)
        assert outcome.status == "valid", outcome.reason
        shares.append(outcome.scalars["dampened"][0][1])
    assert len(set(shares)) == 3 and all(0 < share < 1 for share in shares)


def test_it_draws_a_pass_of_each_set_and_the_banks(tiny_benchmark):
    whole, session = run_method(SPEC, tiny_benchmark, batch_size=4)
    size = len(session.pools["forget"])
    assert (whole.ledger.forget_samples, whole.ledger.retain_samples) == (size, size)
    single, _ = run_method(SPEC, tiny_benchmark, variant="per-sample", bank=4)
    assert (single.ledger.forget_samples, single.ledger.retain_samples) == (size, size)
    assert single.ledger.backward_passes == 2 * (size - 4)
