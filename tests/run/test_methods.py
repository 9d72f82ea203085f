"""Methods with more than a loss, in 60 lines or less: adapters, a second network, a dual variable."""

import copy
import importlib
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.clip.weights import fingerprint
from salmu_core.losses import contrastive_loss
from salmu_core.run.context import RunContext
from salmu_core.run.meter import Meter
from salmu_core.run.session import frozen_copy
from salmu_core.testing import run_method
from salmu_core.testing.conformance import RULES, examine

pytestmark = pytest.mark.xdist_group("salmu conformance")

FOLDER = Path(__file__).parents[1] / "methods"
METHODS = sorted(path.stem for path in FOLDER.glob("*.py"))
#: All rules would take each of them half a minute.
RULES_OF_TWO_RUNS = {
    "config",
    "runs",
    "globals",
    "changes",
    "finite",
    "shape",
    "original",
    "tidy",
    "loop",
    "terms",
    "bf16",
}
FACTS = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}


@pytest.fixture
def spec(monkeypatch, request):
    monkeypatch.syspath_prepend(str(FOLDER))
    (found,) = importlib.import_module(request.param).salmu_methods()
    return found


def similarity(session, model):
    """Mean cosine of the forget pairs."""
    pool = session.pools["forget"]
    with torch.no_grad():
        rows = np.arange(len(pool))
        image = model.encode_image(pool.images(rows), normalize=True)
        return (image * model.encode_text(pool.tokens(rows), normalize=True)).sum(1).mean().item()


def changed(session, model):
    before = dict(session.clip.model.named_parameters())
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


def context(session, spec, *, state=None, **config):
    """What one run is given."""
    model = copy.deepcopy(session.clip.model)
    return RunContext(
        spec.config(batch_size=4, **config),
        model=model,
        reference=frozen_copy(model),
        session=session,
        seed=0,
        meter=Meter(2, len(session.pools["forget"])),
        accelerator=Accelerator(cpu=True),
        state=state,
    )


@pytest.mark.parametrize("name", METHODS)
def test_what_can_be_seen_in_two_runs_holds_of_each_and_none_is_long(isolated_plugins, name):
    source = (FOLDER / f"{name}.py").read_text()
    isolated_plugins.install(name.replace("_", "-"), source, module=name)
    report = examine("method", name.replace("_", "-"), only=RULES_OF_TWO_RUNS)
    assert report.sound, report.markdown(RULES["method"])
    assert source.count("\n") <= 60


@pytest.mark.parametrize("spec", METHODS, indirect=True)
def test_each_makes_the_same_bytes_again(tiny, spec):
    made = [run_method(spec, tiny, budget=4, batch_size=8)[0] for _ in range(2)]
    assert [outcome.status for outcome in made] == ["valid", "valid"], made[0].traceback
    assert fingerprint(made[0].model) == fingerprint(made[1].model)


@pytest.mark.parametrize("spec", ["low_rank", "dual_variable"], indirect=True)
def test_those_that_push_pairs_apart_do(tiny, spec):
    outcome, session = run_method(spec, tiny, budget=4, batch_size=8)
    assert similarity(session, outcome.model) < similarity(session, session.clip.model) - 0.01


@pytest.mark.parametrize("spec", ["low_rank"], indirect=True)
def test_adapters_change_the_attention_alone_and_by_their_rank(tiny, spec):
    outcome, session = run_method(spec, tiny, batch_size=8, rank=1)
    moved = changed(session, outcome.model)
    assert len(moved) == 4 and all(".attn." in name and "weight" in name for name in moved)
    before = dict(session.clip.model.named_parameters())
    for name in moved:
        delta = (dict(outcome.model.named_parameters())[name] - before[name]).detach().double().numpy()
        assert np.linalg.matrix_rank(delta, tol=1e-5) == 1


@pytest.mark.parametrize("spec", ["dual_variable"], indirect=True)
def test_a_state_is_where_the_next_run_goes_on_and_nothing_to_one_that_starts_afresh(tiny, spec):
    _, session = run_method(spec, tiny, batch_size=4)
    fresh, again = context(session, spec), context(session, spec)
    spec.unlearn(fresh)
    spec.unlearn(again)
    left = fresh.state["log_dual"]
    assert fingerprint(fresh.model) == fingerprint(again.model) and torch.equal(left, again.state["log_dual"])
    assert left.shape == () and left != 0 and not left.requires_grad
    onward = context(session, spec, state=fresh.state, lr=1e-12)
    spec.unlearn(onward)
    assert onward.state["log_dual"].item() == pytest.approx(left.item(), abs=1e-6)
    assert onward.state is not fresh.state


def loss(ctx, step):
    return contrastive_loss(ctx, step.forget)


def run(tiny, unlearn, **settings):
    spec = MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig)
    return run_method(spec, tiny, **{"batch_size": 8, "lr": 1e-3, **settings})


def test_features_the_probe_and_edits_work_inside_a_block_of_adapters(tiny):
    found = {}

    def unlearn(ctx):
        with ctx.adapters(rank=2):
            ctx.fit(loss, steps=1)
            batch = next(ctx.batches("forget"))
            with ctx.edit() as weights:
                assert {"visual.proj", "text_projection"} <= weights.keys()
                assert not any("parametrizations" in name for name in weights)
                weights["visual.proj"] *= 2
                weights["logit_scale"] += 1
            found["inside"] = ctx.probe(), ctx.features(batch).similarity.detach(), ctx.gradients(loss, on="forget")
        found["after"] = ctx.probe(), ctx.features(batch).similarity.detach()

    outcome, session = run(tiny, unlearn, budget=4)
    assert outcome.status == "valid", outcome.traceback
    inside, after = found["inside"], found["after"]
    assert astuple(inside[0]) == pytest.approx(astuple(after[0]), abs=1e-5)
    assert torch.allclose(inside[1], after[1], atol=1e-5)
    assert all(name.endswith((".up", ".down")) for name in inside[2])
    before = dict(session.clip.model.named_parameters())
    assert torch.allclose(outcome.model.logit_scale, before["logit_scale"] + 1)
    delta = outcome.model.visual.proj - 2 * before["visual.proj"]
    assert 0 < np.linalg.matrix_rank(delta.detach().double().numpy(), tol=1e-5) <= 2


def test_adapters_that_are_left_are_told_in_a_sentence(tiny):
    blocks = []

    def unlearn(ctx):
        blocks.append(ctx.adapters(2, lambda name: name == "visual.proj"))
        blocks[0].__enter__()
        ctx.fit(loss, steps=1)

    outcome, _ = run(tiny, unlearn)
    assert outcome.status == "altered"
    assert outcome.reason.startswith("visual still has adapters") and "`with ctx.adapters(...):`" in outcome.reason


def test_a_run_that_crashes_inside_a_block_leaves_a_plain_model(tiny):
    def unlearn(ctx):
        with ctx.adapters(rank=2):
            ctx.fit(loss, steps=1)
            raise RuntimeError("on purpose")

    outcome, session = run(tiny, unlearn)
    assert outcome.status == "crashed" and "on purpose" in outcome.reason
    assert outcome.model.state_dict().keys() == session.clip.model.state_dict().keys()


def test_a_rank_that_is_none_is_the_runs_reason(tiny):
    outcome, _ = run(tiny, lambda ctx: ctx.adapters(0).__enter__())
    assert outcome.status == "crashed" and "rank=0" in outcome.reason


def test_an_inner_network_may_be_trained_by_fits_of_its_own(tiny):
    """A min-max method in turns: a critic's steps with a frozen model, then the model's with a frozen critic."""
    seen = []

    def unlearn(ctx):
        with torch.random.fork_rng():
            critic = torch.nn.Linear(16, 1)

        def gap(ctx, step):
            pairs = ctx.features(step.forget)
            return critic(pairs.image).mean() - critic(pairs.text).mean()

        for _ in range(2):
            before = fingerprint(ctx.model), critic.weight.clone()
            ctx.fit(lambda c, s: -gap(c, s), steps=2, params=lambda name: False, also={"critic": critic})
            assert fingerprint(ctx.model) == before[0] and not torch.equal(critic.weight, before[1])
            before = fingerprint(ctx.model), critic.weight.clone()
            critic.requires_grad_(False)
            ctx.fit(gap, steps=2)
            critic.requires_grad_(True)
            assert fingerprint(ctx.model) != before[0] and torch.equal(critic.weight, before[1])
        seen.append(critic)

    outcome, _ = run(tiny, unlearn, budget=8)
    assert outcome.status == "valid", outcome.traceback
    assert [fit.first_step for fit in outcome.fits] == [0, 2, 4, 6] and outcome.ledger.steps == 8


@pytest.mark.parametrize(
    ("opened", "status", "words"), [(False, "crashed", "inside `with"), (True, "altered", "still has")]
)
def test_adapters_without_with_train_nothing_by_accident(tiny, opened, status, words):
    def unlearn(ctx):
        block = ctx.adapters(rank=2)
        if opened:
            block.__enter__()
        del block
        ctx.fit(lambda ctx, step: ctx.features(step.forget).pair_similarity.mean(), steps=1)

    facts = {"name": "a-method", "summary": "A test.", "paper": "https://example.org"}
    outcome, _ = run_method(MethodSpec(**facts, unlearn=unlearn, config=TrainingConfig), tiny, batch_size=4)
    assert outcome.status == status and words in outcome.reason
