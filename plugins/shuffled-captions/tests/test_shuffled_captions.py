import salmu_shuffled_captions as plugin
import torch

from salmu_core.testing import (
    assert_uses_budget,
    check_method,
    run_method,
)

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("shuffled-captions")


def test_captions_are_permuted_once_a_run(tiny_benchmark, monkeypatch):
    original = plugin.contrastive_loss

    def permuted(seed):
        given, own = {}, []

        def recorded(ctx, batch):
            assert torch.equal(batch.text, ctx.tokenize(batch.captions))
            own[:] = ctx.forget.captions
            for row, caption in zip(batch.index.tolist(), batch.captions, strict=True):
                given.setdefault(row, set()).add(caption)
            return original(ctx, batch)

        monkeypatch.setattr(plugin, "contrastive_loss", recorded)
        run_method(SPEC, tiny_benchmark, budget=3, seed=seed, batch_size=4)
        assert len(given) == len(own) and all(len(captions) == 1 for captions in given.values())
        captions = [captions.pop() for _, captions in sorted(given.items())]
        assert captions != own and sorted(captions) == sorted(own)
        return captions

    assert permuted(0) == permuted(0) != permuted(1)


def test_run(tiny_benchmark):
    assert_uses_budget(SPEC, tiny_benchmark, draws={"forget"})
