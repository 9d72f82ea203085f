"""Rows of a table trained alone, held against the same loop in bare PyTorch, which trains all of it."""

import copy
import math

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.func import functional_call, grad, vmap

from salmu_core.contract.config import TrainingConfig
from salmu_core.contract.masks import masked
from salmu_core.contract.surgery import by_rows
from salmu_core.errors import MethodError
from salmu_core.train.loop import fit
from salmu_core.train.tables import LARGE, Tables

WORDS, WIDTH, STEPS = LARGE + 4, 8, 500
CONFIG = TrainingConfig(lr=1e-2, warmup=0.1, max_grad_norm=0)


class Reader(nn.Module):
    """The mean of a text's words, turned."""

    def __init__(self, padding=None):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH, padding_idx=padding)
        self.turn = nn.Linear(WIDTH, WIDTH)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, ids):
        return self.turn(self.words(ids).mean(dim=1)).tanh()


def texts(step, late=True):
    """Of some 60 words, and of others that come up from step to step."""
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(0, 60, (6, 5), generator=generator)
    if late and step % 7 == 6:
        ids[0, 0] = 100 + 3 * step % (WORDS - 200)
    return ids


def plain(model, step):
    return (model(texts(step)) - 0.3).square().mean()


def twice(model, step):
    """Two lookups, one of which has words the other has not; and now and then no lookup at all."""
    if step % 10 == 3:
        return model.turn.weight.square().mean()
    return (model(texts(step)) * model(texts(step + 1))).mean() + model(texts(step)).square().mean()


def penalised(model, step):
    """Differentiates within the loss, for the table too."""
    value = plain(model, step)
    (slope,) = torch.autograd.grad(value, model.words.weight, create_graph=True)
    assert slope.shape == model.words.weight.shape and slope.abs().sum() > 0
    return value + slope.square().sum()


def tied(model, step):
    """From some step on, looks at all rows."""
    value = plain(model, step)
    return value + 0.1 * model.words.weight.square().mean() if step >= 20 else value


def moved(model, step):
    """Changes weights in between, as a projection would."""
    with torch.no_grad():
        model.words.weight.clamp_(-1.5, 1.5)
    return plain(model, step)


def rivalled(model, step):
    """Copies of the model are trained too, for a moment; their gradients are their own."""
    rival = copy.deepcopy(model)
    plain(rival, step).backward()
    assert rival.words.weight.grad.abs().sum() > 0
    fast = {name: p - 0.1 * rival.get_parameter(name).grad for name, p in model.named_parameters()}
    return (functional_call(model, fast, (texts(step),)) - 0.3).square().mean() + plain(model, step)


def negated(weight):
    weight.grad.neg_()


def hooked(model, step):
    """From some step on, hooks change the gradient of all rows; the second one once it is whole."""
    value = plain(model, step)
    if step == 20:
        model.words.weight.register_hook(lambda gradient: gradient * 0.5)
    if step == 40:
        model.words.weight.register_post_accumulate_grad_hook(negated)
    return value


def vectorised(model, step):
    """Each text for itself, and its own gradient, by torch.func."""
    turn = {"turn.weight": model.turn.weight}

    def one(turn, ids):
        return (functional_call(model, turn, (ids[None],)) - 0.3).square().mean()

    slopes = vmap(grad(one), in_dims=(None, 0))(turn, texts(step))["turn.weight"]
    return vmap(one, in_dims=(None, 0))(turn, texts(step)).mean() + 0.1 * slopes.square().mean()


def bounded(model, step):
    """From some step on, looked up rows are made shorter."""
    if step == 20:
        model.words.max_norm = 1.0
    return plain(model, step)


def bare(model, loss, steps, config):
    """The loop as one would write it."""
    optimizer = torch.optim.AdamW(
        model.parameters(), betas=(0.9, 0.98), eps=1e-6, weight_decay=config.weight_decay, fused=True
    )
    warmup = round(0.1 * steps)
    for step in range(steps):
        share = (
            (step + 1) / warmup if step < warmup else 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / (steps - warmup))
        )
        for group in optimizer.param_groups:
            group["lr"] = config.lr * share
        optimizer.zero_grad()
        loss(model, step).backward()
        if config.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
    return model


def fitted(model, loss, steps, config, **options):
    fit(model, lambda step: loss(model, step), lambda: steps, config, Accelerator(cpu=True), **options)
    return model


@pytest.mark.parametrize("decay", [0, 0.1])
@pytest.mark.parametrize("loss", [plain, twice, moved])
def test_the_result_is_the_dense_loops_bit_for_bit(loss, decay):
    config = CONFIG.model_copy(update={"weight_decay": decay})
    ours, theirs = fitted(Reader(), loss, STEPS, config), bare(Reader(), loss, STEPS, config)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b), name
    still = torch.equal(ours.words.weight[70], Reader().words.weight[70])
    assert still != bool(decay)  # a word of no text


@pytest.mark.parametrize("loss", [plain, twice])
def test_clipped_it_is_so_but_for_the_order_of_a_sum(loss):
    config = CONFIG.model_copy(update={"max_grad_norm": 0.01, "weight_decay": 0.1})
    ours, theirs = fitted(Reader(), loss, STEPS, config), bare(Reader(), loss, STEPS, config)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("loss", [penalised, tied, rivalled, hooked, vectorised, bounded])
def test_losses_that_look_at_the_table_themselves_see_what_it_is(loss):
    config, steps = CONFIG.model_copy(update={"weight_decay": 0.1}), 60
    ours, theirs = fitted(Reader(), loss, steps, config), bare(Reader(), loss, steps, config)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=name)
    assert "forward" not in vars(ours.words) and ours.words.weight.grad is None


@pytest.mark.parametrize("where", ["before", "within"])
def test_gradients_from_before_the_first_step_are_not_the_loops(where):
    def loss(model, step):
        if step == 0 and where == "within":
            model.words.weight.square().sum().backward()
        return plain(model, step)

    model = Reader()
    if where == "before":
        model.words.weight.square().sum().backward()
    assert torch.equal(fitted(model, loss, 20, CONFIG).words.weight, bare(Reader(), plain, 20, CONFIG).words.weight)


def test_what_a_loss_hangs_on_the_table_stays_there():
    def loss(model, step):
        if step == 5:
            looked_up = model.words.forward
            model.words.forward = lambda ids: looked_up(ids) * 0.5
        return plain(model, step)

    ours, theirs = fitted(Reader(), loss, 20, CONFIG), bare(Reader(), loss, 20, CONFIG)
    assert torch.equal(ours(texts(0)), theirs(texts(0)))


def test_a_row_that_pads_stays():
    ours, theirs = fitted(Reader(padding=3), plain, 20, CONFIG), bare(Reader(padding=3), plain, 20, CONFIG)
    assert torch.equal(ours.words.weight, theirs.words.weight)
    assert torch.equal(ours.words.weight[3], Reader(padding=3).words.weight[3])


def test_masks_and_transforms_get_the_whole_gradient():
    mask = (torch.arange(WORDS) % 2).float()[:, None].expand(WORDS, WIDTH)
    half = fitted(Reader(), plain, 20, CONFIG, transform=masked({"words.weight": mask}))
    assert torch.equal(half.words.weight[::2], Reader().words.weight[::2])
    shapes = set()

    def look(terms):
        shapes.update((name, tuple(value.shape)) for name, value in terms["loss"].items())
        return terms["loss"]

    through = fitted(Reader(), plain, 20, CONFIG, transform=look)
    assert ("words.weight", (WORDS, WIDTH)) in shapes
    assert torch.equal(through.words.weight, fitted(Reader(), plain, 20, CONFIG).words.weight)


@pytest.mark.parametrize("loss", [plain, twice, moved, penalised, tied, rivalled, hooked, vectorised, bounded])
def test_surgery_by_rows_ends_where_the_dense_loop_does(loss):
    config, steps = CONFIG.model_copy(update={"weight_decay": 0.1}), 60
    ours = fitted(Reader(), loss, steps, config, transform=by_rows(lambda terms: terms["loss"]))
    # Surgery adds no gradient up in a weight, so what hangs there to be told of that hears nothing, by rows or not.
    dense = {"transform": lambda terms: terms["loss"]} if loss is hooked else {}
    theirs = (fitted if dense else bare)(Reader(), loss, steps, config, **dense)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=name)
    assert "forward" not in vars(ours.words) and ours.words.weight.grad is None


def apart(model, step):
    """Two terms, the second of which looks up words that the first has not."""
    return {"now": plain(model, step), "next": (model(texts(step + 1)) + 0.2).square().mean()}


@pytest.mark.parametrize("padding", [None, 3])
def test_rows_are_given_in_the_order_they_came_up_in_and_are_those_of_the_whole_gradient(padding):
    rows, whole = [], []

    def half_back(seen):
        def transform(terms):
            seen.append({name: term["words.weight"].clone() for name, term in terms.items()})
            return {name: now - 0.5 * terms["next"][name] for name, now in terms["now"].items()}

        return transform

    config = CONFIG.model_copy(update={"weight_decay": 0.1})
    ours = fitted(Reader(padding), apart, 20, config, transform=by_rows(half_back(rows)))
    theirs = fitted(Reader(padding), apart, 20, config, transform=half_back(whole))
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=name)
    ids = []
    for step, (part, dense) in enumerate(zip(rows, whole, strict=True)):
        for number in (step, step + 1):
            ids += sorted(set(texts(number).flatten().tolist()) - set(ids))
        for term in ("now", "next"):
            torch.testing.assert_close(part[term], dense[term][ids], rtol=1e-4, atol=1e-6)
            assert dense[term].count_nonzero() == part[term].count_nonzero()
    assert len(rows[0]["now"]) < len(ids) < 100


def test_what_surgery_makes_of_rows_has_their_shape():
    with pytest.raises(
        MethodError, match=rf"for words.weight is float32 \[{WORDS}, {WIDTH}\] on cpu; .* \[\d\d, {WIDTH}\]"
    ):
        fitted(
            Reader(), plain, 1, CONFIG,
            transform=by_rows(lambda terms: terms["loss"] | {"words.weight": torch.zeros(WORDS, WIDTH)}),
        )  # fmt: skip


def test_what_is_optimised_is_as_small_as_the_texts():
    model = Reader()
    with Tables(model, dict(model.named_parameters())) as tables:
        optimizer = torch.optim.AdamW(tables.trained.values())
        for step in range(20):
            optimizer.zero_grad()
            value = plain(model, step)
            with tables.gathering():
                value.backward()
            tables.gather(optimizer)
            optimizer.step()
            tables.scatter(optimizer)
    words = torch.unique(torch.cat([texts(step) for step in range(20)]))
    assert len(tables.trained["words.weight"]) == len(words) < 70
    assert {len(v) for k, v in optimizer.state[tables.trained["words.weight"]].items() if k != "step"} == {len(words)}
    assert model.words.weight.grad is None
