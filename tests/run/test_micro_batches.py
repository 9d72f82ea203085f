"""Every loss of the zoo, embedded in pieces: the value and the gradients of the whole batch, and the run it makes."""

import copy
import importlib
import weakref
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.clip.weights import fingerprint
from salmu_core.errors import MachineError
from salmu_core.losses import contrastive_loss, total
from salmu_core.plugins.zoo import discover
from salmu_core.run.context import RunContext
from salmu_core.run.meter import Meter
from salmu_core.run.session import TrainingSession, frozen_copy
from salmu_core.testing import run_method
from salmu_core.train.pieces import Pieces

FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}
B = 12
#: Methods that train by what ctx.features gives, in every variant of their loss; that of RMU is of inner layers, and
#: wrappers have those of others. A term that begins at 0 has rounding for its first gradient, which AdamW makes whole
#: steps of: its weight is small.
ZOO = [
    ("alignment-calibration", {}),
    ("alignment-calibration", {"variant": "code"}),
    ("cliperase", {}),
    ("delete", {}),
    ("delete", {"variant": "paper"}),
    ("descent-to-delete", {"variant": "paper"}),
    ("direct-similarity", {}),
    ("finetuning", {}),
    ("generic-captions", {"retain_weight": 0.5}),
    ("gradient-difference", {}),
    ("gradient-difference", {"variant": "kl", "retention_weight": 1.0}),
    ("last-layers", {}),
    ("nearest-caption", {}),
    ("negative-gradient", {}),
    ("npo", {}),
    ("npo", {"variant": "kl", "retention_weight": 1.0}),
    ("shuffled-captions", {}),
    ("simnpo", {}),
    ("vlunlearn", {}),
    ("weight-distortion", {}),
]
NAMES = ["-".join([name, *map(str, settings.values())]) for name, settings in ZOO]


class Catching(RunContext):
    """Keeps the loss that a method fits, and fits nothing."""

    def fit(self, loss, **_):
        self.caught = loss
        return 1


@pytest.fixture(scope="module")
def session(tiny):
    return TrainingSession.open(open_benchmark(str(tiny), discover(()), lambda *_: None), Accelerator(cpu=True))


@pytest.fixture(scope="module")
def methods():
    return {name: row.spec for name, row in discover().methods.items()}


def context(session, config, size, kind=Catching):
    """A context on a model that has come some way from the original."""
    model = copy.deepcopy(session.clip.model)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=noise) * 0.02)
    return kind(
        config,
        model=model,
        reference=frozen_copy(session.clip.model),
        session=session,
        seed=0,
        meter=Meter(100, len(session.pools["forget"])),
        accelerator=Accelerator(cpu=True),
        pieces=Pieces(model, size),
    )


def derived(session, spec, settings, size):
    """A method's loss of one step, and its gradients by name."""
    ctx = context(session, spec.config(batch_size=B, **settings), size)
    loss = spec.loss
    if loss is None:
        before = copy.deepcopy(ctx.model.state_dict())
        spec.unlearn(ctx)
        loss = ctx.caught
        ctx.model.load_state_dict(before)  # without what it does after its descent
    ctx.model.train()
    value = total(loss(ctx, ctx._draws.step(0, B)))
    names, parameters = zip(*ctx.model.named_parameters(), strict=True)
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return value.item(), {name: g for name, g in zip(names, found, strict=True) if g is not None}


@pytest.mark.parametrize(("name", "settings"), ZOO, ids=NAMES)
def test_pieces_have_the_gradients_of_the_whole(session, methods, name, settings):
    whole, theirs = derived(session, methods[name], settings, 0)
    scale = max(float(g.abs().max()) for g in theirs.values())
    assert scale > 1e-4
    for size in (B, B // 2, 8, 1):
        value, ours = derived(session, methods[name], settings, size)
        assert value == pytest.approx(whole, rel=1e-5, abs=1e-5) and ours.keys() == theirs.keys()
        for key in theirs:
            assert float((ours[key] - theirs[key]).abs().max()) < 1e-5 * max(1, scale), (size, key)


@pytest.mark.parametrize(("name", "settings"), ZOO, ids=NAMES)
def test_a_fit_in_pieces_comes_to_where_the_whole_comes(tiny, methods, name, settings):
    settings = {**settings, "batch_size": B, "lr": 1e-4}
    (whole, _), (pieces, _) = (run_method(methods[name], tiny, budget=3, micro_batch=n, **settings) for n in (0, 5))
    assert (whole.status, pieces.status, whole.micro_batch, pieces.micro_batch) == ("valid", "valid", 0, 5)
    for (key, a), b in zip(whole.model.named_parameters(), pieces.model.parameters(), strict=True):
        assert float((a - b).detach().abs().max()) < 1e-5, key
    drawn, again = whole.ledger, pieces.ledger
    assert (drawn.steps, drawn.backward_passes) == (again.steps, again.backward_passes)
    assert (drawn.forget_samples, drawn.retain_samples) == (again.forget_samples, again.retain_samples)
    assert again.forward_images == 2 * drawn.forward_images > 0
    assert again.forward_captions == 2 * drawn.forward_captions > 0


@pytest.mark.parametrize(("name", "settings"), ZOO, ids=NAMES)
def test_a_fit_of_the_rows_that_are_looked_up_comes_to_where_that_of_the_table_comes(
    tiny, methods, monkeypatch, name, settings
):
    def made():
        return run_method(methods[name], tiny, budget=3, weight_decay=0.1, batch_size=B, lr=1e-4, **settings)[0]

    rows = made()
    monkeypatch.setattr("salmu_core.train.tables.LARGE", 10**9)  # no table is so large
    table = made()
    assert rows.status == table.status == "valid"
    for (key, a), b in zip(rows.model.named_parameters(), table.model.parameters(), strict=True):
        assert float((a - b).detach().abs().max()) < 1e-6, key
    assert rows.ledger.weights_changed == table.ledger.weights_changed


@pytest.mark.parametrize("name", ["critic", "dual_variable", "low_rank"])
def test_methods_with_more_than_a_loss_are_divided_too(tiny, monkeypatch, name):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "methods"))
    (spec,) = importlib.import_module(name).salmu_methods()
    settings = {"batch_size": 8, "lr": 1e-4, "budget": 2}
    (whole, _), (pieces, _) = (run_method(spec, tiny, micro_batch=n, **settings) for n in (0, 3))
    assert whole.status == pieces.status == "valid", pieces.reason
    for (key, a), b in zip(whole.model.named_parameters(), pieces.model.parameters(), strict=True):
        assert float((a - b).detach().abs().max()) < 1e-5, key


def test_losses_of_other_kinds_are_divided_too(session):
    """Batches of two sizes, one batch twice, a part without gradients, and weights that a loss uses itself."""

    def loss(ctx, step):
        few = next(ctx.batches("retain", 5))
        with torch.no_grad():
            target = ctx.features(few).similarity.mean()
        names = ctx.embed_texts(ctx.forget.generic_captions[:7])
        forget, again = ctx.features(step.forget), ctx.features(step.forget.captioned(["a photo"] * B))
        decay = sum(p.square().sum() for _, p in ctx.model.named_parameters())
        value = (forget.image @ names.T).logsumexp(1).mean() + again.pair_similarity.square().mean()
        value = value + (ctx.features(few).similarity.mean() - target - 0.1).square()
        if step.index % 2 == 0:
            value = value + contrastive_loss(ctx, step.retain) * ctx.model.logit_scale
        return value + 1e-3 * decay

    def found(size, step):
        ctx = context(session, TrainingConfig(batch_size=B), size, RunContext)
        value = loss(ctx, ctx._draws.step(step, B))
        return [value, *torch.autograd.grad(value, list(ctx.model.parameters()))]

    for step in (0, 1):
        for a, b in zip(found(4, step), found(0, step), strict=True):
            assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("power", [1, 2])
def test_a_pass_of_gradients_is_divided(session, power):
    def found(size):
        ctx = context(session, TrainingConfig(batch_size=8), size, RunContext)
        return ctx.gradients(lambda c, s: contrastive_loss(c, s.forget), on="forget", power=power)

    whole, pieces = found(0), found(3)
    for name, value in whole.items():
        assert torch.allclose(pieces[name], value, atol=1e-5), name


class Narrow:
    """A machine on which an encoder of more rows than it has room for runs out of memory."""

    def __init__(self, monkeypatch, model, room, after=0):
        self.encode, self.room, self.left, self.failures = type(model).encode_text, room, after, 0
        machine = self

        def encode_text(self, tokens, normalize=False):
            # The towers' forwards with gradients, counted down to where memory becomes short.
            if self.training and torch.is_grad_enabled():
                machine.left -= 1
                if machine.left < 0 and len(tokens) > machine.room:
                    machine.failures += 1
                    raise torch.OutOfMemoryError("CUDA out of memory.")
            return machine.encode(self, tokens, normalize)

        monkeypatch.setattr(type(model), "encode_text", encode_text)


def drifting(ctx):
    """Draws random numbers and logs in every step."""

    def loss(ctx, step):
        features = ctx.features(step.forget)
        noise = ctx.randn_like(features.image)
        value = (features.text - features.image - 0.1 * noise).square().mean()
        ctx.log("drift", float(noise.sum()))
        return {"drift": value, "keep": contrastive_loss(ctx, step.retain)}

    ctx.fit(loss, config=TrainingConfig(batch_size=B, lr=1e-4))
    ctx.log("after", float(ctx.randn_like(torch.zeros(1))))


DRIFT = MethodSpec(**FACTS, unlearn=drifting, config=TrainingConfig)


def assert_made_once(outcome, plain):
    """What a run whose steps were made again has drawn, counted and logged is what it would have been without."""
    counts = {"forget_samples", "retain_samples", "backward_passes", "steps"}
    assert outcome.status == "valid", outcome.traceback
    assert outcome.ledger.model_dump(include=counts) == plain.ledger.model_dump(include=counts)
    assert plain.ledger.steps == 5 and outcome.scalars.keys() == plain.scalars.keys() >= {"drift", "after", "loss"}
    for name, rows in plain.scalars.items():
        assert [step for step, _ in outcome.scalars[name]] == [step for step, _ in rows]
        assert [value for _, value in outcome.scalars[name]] == pytest.approx([value for _, value in rows], abs=1e-4)
    for (key, a), b in zip(outcome.model.named_parameters(), plain.model.parameters(), strict=True):
        assert float((a - b).detach().abs().max()) < 1e-5, key


@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_where_memory_runs_out_the_step_is_made_again(tiny, session, monkeypatch, after):
    plain, _ = run_method(DRIFT, tiny, budget=4)
    with monkeypatch.context() as patch:
        machine = Narrow(patch, session.clip.model, 3, after)
        outcome, _ = run_method(DRIFT, tiny, budget=4)
    assert machine.failures == 2 and outcome.micro_batch == 3
    assert_made_once(outcome, plain)
    if after < 2:  # in the first step: then it is the run that was told so from the start
        told, _ = run_method(DRIFT, tiny, budget=4, micro_batch=3)
        assert fingerprint(told.model) == fingerprint(outcome.model) != fingerprint(plain.model)


def test_memory_may_run_out_on_the_way_back(tiny):
    failures, graphs = [], []

    def give_up(gradient):
        if len(failures) < 2:
            failures.append(len(gradient))
            raise torch.OutOfMemoryError("CUDA out of memory.")

    def unlearn(ctx):
        features = ctx.features

        def watched(batch):
            if batch.pool == "forget":
                assert not any(graph() is not None for graph in graphs), "the activations of an attempt that failed"
            found = features(batch)
            found.text.register_hook(give_up)
            graphs.append(weakref.ref(found.text))
            return found

        ctx.features = watched
        drifting(ctx)

    plain, _ = run_method(DRIFT, tiny, budget=4)
    outcome, _ = run_method(DRIFT.model_copy(update={"unlearn": unlearn}), tiny, budget=4)
    assert failures == [B, B] and outcome.micro_batch == 3
    assert_made_once(outcome, plain)


def test_where_one_pair_is_too_much_the_run_says_so(tiny, session, monkeypatch):
    Narrow(monkeypatch, session.clip.model, 0)
    with pytest.raises(MachineError, match="even with one pair embedded at a time"):
        run_method(DRIFT, tiny)
