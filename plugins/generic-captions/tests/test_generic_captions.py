import pytest
import salmu_generic_captions as plugin
import torch

from salmu_core.testing import (
    assert_uses_budget,
    check_method,
    loss_values,
    numpy_contrastive,
    random_pairs,
    run_method,
)

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("generic-captions")


def test_loss_is_the_contrastive_loss_of_forget_pairs_alone():
    forget = random_pairs(1)
    values = loss_values(plugin.loss, plugin.Config(), forget, logit_scale=7.0)
    expected = pytest.approx(numpy_contrastive(forget, 7.0), rel=1e-9)
    assert values == {"loss": expected, "generic": expected}


def test_retain_weight_adds_the_contrastive_loss_of_retain_pairs():
    forget, retain = random_pairs(1), random_pairs(2)
    values = loss_values(plugin.loss, plugin.Config(retain_weight=0.3), forget, retain, logit_scale=7.0)
    generic, kept = numpy_contrastive(forget, 7.0), 0.3 * numpy_contrastive(retain, 7.0)
    assert values == pytest.approx({"loss": generic + kept, "generic": generic, "retain": kept}, rel=1e-9)


def test_every_image_is_trained_with_its_generic_caption(tiny_benchmark, monkeypatch):
    seen = []

    def recorded(ctx, batch, original=plugin.contrastive_loss):
        assert torch.equal(batch.text, ctx.tokenize(batch.captions))
        seen.extend(zip(batch.index.tolist(), batch.captions, strict=True))
        generic.update(enumerate(ctx.forget.generic_captions))
        return original(ctx, batch)

    generic = {}
    monkeypatch.setattr(plugin, "contrastive_loss", recorded)
    run_method(SPEC, tiny_benchmark, batch_size=4)
    assert all(caption.startswith("A photo of somebody") for caption in generic.values())
    assert sorted(seen) == sorted(generic.items())


def test_run(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"forget"})


def test_run_with_retain_pairs(tiny_benchmark):
    outcome = assert_uses_budget(SPEC, tiny_benchmark, draws={"forget", "retain"}, retain_weight=1.0)
    assert set(outcome.scalars) >= {"generic", "retain"}
