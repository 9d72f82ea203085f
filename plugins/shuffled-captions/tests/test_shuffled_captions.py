import pytest
import salmu_shuffled_captions as plugin

from salmu_core.testing import (
    assert_uses_budget,
    check_method,
    loss_values,
    numpy_contrastive,
    random_pairs,
    run_method,
    write_tiny_benchmark,
)

(SPEC,) = plugin.salmu_methods()

test_conformance = check_method("shuffled-captions")


def test_loss_is_the_contrastive_loss_of_forget_pairs():
    forget = random_pairs(1)
    values = loss_values(plugin.loss, plugin.Config(), forget, logit_scale=7.0)
    assert values["loss"] == pytest.approx(numpy_contrastive(forget, 7.0), rel=1e-9)


def test_captions_are_permuted_once_a_run(tmp_path, monkeypatch):
    tiny = write_tiny_benchmark(tmp_path / "tiny")
    original = plugin.loss

    def permuted(seed):
        given, own = {}, []

        def recorded(ctx, step):
            own[:] = ctx.forget.captions
            for row, caption in zip(step.forget.index.tolist(), step.forget.captions, strict=True):
                given.setdefault(row, set()).add(caption)
            return original(ctx, step)

        monkeypatch.setattr(plugin, "loss", recorded)
        run_method(SPEC, tiny, budget=3, seed=seed, batch_size=4)
        assert len(given) == len(own) and all(len(captions) == 1 for captions in given.values())
        captions = [captions.pop() for _, captions in sorted(given.items())]
        assert captions != own and sorted(captions) == sorted(own)
        return captions

    assert permuted(0) == permuted(0) != permuted(1)


def test_run(tmp_path):
    assert_uses_budget(SPEC, write_tiny_benchmark(tmp_path / "tiny"), draws={"forget"})
