"""What goes through the towers is counted, whatever library they are of, and the classes are left as they were."""

import copy
from dataclasses import replace

import open_clip
import pytest
import torch
from accelerate import Accelerator
from clip_models import CAPTIONS, KINDS, PREPROCESS, foreign, photo
from torch import nn

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.clip.load import load_clip
from salmu_core.losses import contrastive_loss
from salmu_core.plugins.zoo import discover
from salmu_core.run.runner import run_one
from salmu_core.run.session import TrainingSession

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}


class Towers(nn.Module):
    """A CLIP that has nothing of open_clip's but the two functions and the temperature."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.pictures, self.words = nn.Linear(3 * 16 * 16, 8), nn.EmbeddingBag(49408, 8)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def encode_image(self, pixels, normalize=False):
        return self._ended(self.pictures(pixels.flatten(1)), normalize)

    def encode_text(self, ids, normalize=False):
        return self._ended(self.words(ids), normalize)

    @staticmethod
    def _ended(x, normalize):
        return nn.functional.normalize(x, dim=-1) if normalize else x


class Inherited(Towers):
    """Has the two functions from another class."""


def session(tiny, model=None):
    opened = open_benchmark(str(tiny.resolve()), discover(()), lambda stage, fraction: None)
    found = TrainingSession.open(opened, Accelerator(cpu=True))
    if model is not None:
        found.clip = replace(found.clip, model=model)
    return found


def run(found, unlearn):
    spec = MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig)
    return run_one(spec, TrainingConfig(batch_size=4), 1, 0, found, Accelerator(cpu=True))


def counts(ledger):
    return ledger.forward_passes, ledger.forward_images, ledger.forward_captions


def two_steps(ctx):
    ctx.fit(lambda c, step: contrastive_loss(c, step.forget) + contrastive_loss(c, step.retain), steps=2)
    text = ctx.tokenize(["one", "two", "three"])
    name = "ids" if hasattr(ctx.model, "words") else "text"
    ctx.model.encode_text(normalize=True, **{name: text})


@pytest.mark.parametrize("kind", [Towers, Inherited, open_clip.model.CLIP])
def test_towers_of_any_library_are_counted_and_their_class_is_restored(tiny, kind):
    found = session(tiny, None if kind is open_clip.model.CLIP else kind())
    before = {name: vars(kind).get(name) for name in ("encode_image", "encode_text")}
    for _ in range(2):
        outcome = run(found, two_steps)
        assert outcome.status == "valid", outcome.traceback
        assert counts(outcome.ledger) == (4, 16, 16 + 3)
        assert {name: vars(kind).get(name) for name in before} == before

    def fails(ctx):
        two_steps(ctx)
        raise RuntimeError

    outcome = run(found, fails)
    assert outcome.status == "crashed" and counts(outcome.ledger) == (4, 16, 19)
    assert {name: vars(kind).get(name) for name in before} == before


def test_a_copy_is_not_counted_and_neither_is_the_original(tiny):
    def averaged(ctx):
        teacher = copy.deepcopy(ctx.model)
        two_steps(ctx)
        batch = next(ctx.batches("forget"))
        for model in (teacher, ctx.reference):
            model.encode_image(batch.image, normalize=True)
            model.encode_text(batch.text, normalize=True)

    assert counts(run(session(tiny), averaged).ledger) == (4, 16, 19)


def test_under_adapters_the_towers_are_counted_once(tiny):
    def adapted(ctx):
        with ctx.adapters(rank=1):
            two_steps(ctx)

    outcome = run(session(tiny), adapted)
    assert outcome.status == "valid" and counts(outcome.ledger) == (4, 16, 19)


@pytest.mark.parametrize("kind", KINDS)
def test_open_clips_models_are_what_the_protocol_says(tmp_path, kind):
    config = {"model_cfg": KINDS[kind], "preprocess_cfg": PREPROCESS}
    clip = load_clip(foreign(tmp_path / "model", config))
    model, image = clip.model, clip.normalize(torch.from_numpy(clip.to_pixels(photo())[None]))
    assert {"encode_image", "encode_text"} <= set(dir(type(model)))
    assert model.logit_scale.shape == () and dict(model.named_parameters())["logit_scale"] is model.logit_scale
    for encode, given in ((model.encode_image, image), (model.encode_text, clip.tokenize(CAPTIONS))):
        with torch.no_grad():
            plain, unit = encode(given, normalize=False), encode(given, normalize=True)
        assert plain.shape == unit.shape == (len(given), KINDS[kind]["embed_dim"])
        assert torch.allclose(unit, nn.functional.normalize(plain, dim=-1), atol=1e-6)
    assert isinstance(model.get_submodule("visual"), nn.Module)
    assert model.get_parameter("logit_scale") is model.logit_scale
