"""What was kept is believed only if it is whole, of this run, and all there was; else what it is of is made again."""

import json
import os
import random
from functools import partial

import pytest
import torch
from attempts import CONFIG, FACTS, LOSS, SEED, Attempts, record, slow

from salmu_core import MethodSpec, TrainingConfig
from salmu_core.losses import forget_loss


def counting(ctx):
    calls = 0

    def loss(ctx, step):
        nonlocal calls
        calls += 1
        return ctx.features(step.forget).pair_similarity.mean() * (2 if calls > 8 else 1)

    ctx.fit(loss, steps=10)


def banking(ctx):
    bank = []

    def loss(ctx, step):
        bank.append(ctx.features(step.forget).image.detach())
        return torch.cat(bank[-8:]).mean(dim=0) @ ctx.features(step.forget).image.mean(dim=0)

    ctx.fit(loss, steps=10)


def generating(ctx):
    weights = (1 + 0.1 * n for n in range(100))
    ctx.fit(lambda ctx, step: next(weights) * ctx.features(step.forget).pair_similarity.mean(), steps=10)


class Averaging:
    """A loss that is an object."""

    def __init__(self):
        self.mean = 0.0

    def __call__(self, ctx, step):
        similarity = ctx.features(step.forget).pair_similarity.mean()
        self.mean = 0.9 * self.mean + 0.1 * float(similarity.detach())
        return similarity * (1 + self.mean)


SEEN = []


def in_a_global(ctx):
    SEEN.clear()

    def loss(ctx, step):
        SEEN.append(step.index)
        return ctx.features(step.forget).pair_similarity.mean() * (1 if len(SEEN) < 9 else -1)

    ctx.fit(loss, steps=10)


def by_hand(seen, ctx, step):
    seen.append(step.index)
    return ctx.features(step.forget).pair_similarity.mean() * (1 if len(seen) < 9 else -1)


def of_another_generator(ctx):
    own = torch.Generator().manual_seed(0)
    ctx.fit(
        lambda ctx, step: torch.rand((), generator=own) * ctx.features(step.forget).pair_similarity.mean(), steps=10
    )


def an_object(ctx):
    ctx.fit(Averaging(), steps=10)


def a_partial(ctx):
    ctx.fit(partial(by_hand, []), steps=10)


@pytest.mark.parametrize(
    "unlearn",
    [counting, generating, in_a_global, *map(slow, (banking, an_object, a_partial, of_another_generator))],
)
def test_what_a_loss_carries_from_step_to_step_is_seen_and_its_training_made_again(unlearn, session, tmp_path):
    attempts = Attempts(MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig), session, tmp_path / "saves")
    undisturbed = attempts.whole()
    assert undisturbed.status == "valid", undisturbed.traceback
    attempts.killed(6)
    assert record(attempts.run()) == record(undisturbed)
    assert attempts.steps == 10 and "makes this training again" in attempts.told[0]


def test_state_that_nobody_sees_shows_in_the_next_loss(session, tmp_path):
    def loss(ctx, step):
        vars(ctx.model).setdefault("calls", []).append(step.index)
        return ctx.features(step.forget).pair_similarity.mean() * len(ctx.model.calls)

    attempts = Attempts(MethodSpec(**FACTS, loss=loss), session, tmp_path / "saves")
    undisturbed = record(attempts.whole())
    attempts.killed(6)
    assert record(attempts.run()) == undisturbed
    assert "begins again: the first loss" in attempts.told[0]


def test_a_method_that_begins_otherwise_the_next_time_begins_again(session, tmp_path):
    scale = [1e-3]

    def unlearn(ctx):
        with ctx.edit() as weights:
            weights["visual.proj"].add_(scale[0])
        ctx.fit(forget_loss, steps=4)

    attempts = Attempts(MethodSpec(**FACTS, unlearn=unlearn, config=TrainingConfig), session, tmp_path / "saves")
    attempts.killed(3)
    scale[0] = 2e-3
    undisturbed = record(attempts.whole())
    assert record(attempts.run()) == undisturbed and attempts.steps == 4
    assert "begins again: before one of its trainings" in attempts.told[0]


@pytest.mark.parametrize(
    "hurt",
    [
        lambda folder: (folder / "save.json").unlink(),
        slow(lambda folder: (folder / "tensors.safetensors").unlink()),
        lambda folder: flip(folder / "save.json"),
        lambda folder: flip(folder / "tensors.safetensors"),
        slow(lambda folder: os.truncate(folder / "tensors.safetensors", 100)),
        slow(lambda folder: edited(folder / "save.json", made=1)),
    ],
)
def test_a_damaged_save_is_as_good_as_none(hurt, killed, undisturbed):
    (folder,) = killed.folder.iterdir()
    hurt(folder)
    assert record(killed.run()) == undisturbed
    assert "damaged" in killed.told[0] and len(killed.told) == 1 and killed.steps == undisturbed[1].steps


def flip(path):
    content = bytearray(path.read_bytes())
    content[random.Random(SEED).randrange(len(content))] ^= 1
    path.write_bytes(content)


def edited(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        slow({"budget": 2}),
        {"config": TrainingConfig(**CONFIG | {"lr": 2e-3})},
        slow({"spec": LOSS.model_copy(update={"name": "another"})}),
        slow({"micro_batch": 2}),
        slow({"state": {"x": torch.ones(1)}}),
        {"saves": {"of": {"data": "other"}}},
    ],
)
def test_a_save_of_another_run_is_as_good_as_none(changes, killed):
    changes = dict(changes)
    more = changes.pop("saves", {})
    other = killed.run(saves=killed.saves(**more), **changes)
    assert killed.steps == other.ledger.steps and "of another one" in killed.told[0]


def test_where_nothing_can_be_written_the_run_goes_on(session, undisturbed, tmp_path):
    (tmp_path / "saves").write_text("no folder")
    attempts = Attempts(LOSS, session, tmp_path / "saves")
    assert record(attempts.run()) == undisturbed
    assert len(attempts.told) == 1 and "can't be kept" in attempts.told[0] and str(tmp_path) in attempts.told[0]


def test_a_method_that_is_known_not_to_resume_is_not_saved(session, tmp_path):
    spec = LOSS.model_copy(update={"known_failures": {"resumes": "It keeps a bank of features."}})
    attempts = Attempts(spec, session, tmp_path / "saves")
    attempts.killed(6)
    assert not attempts.folder.exists()
