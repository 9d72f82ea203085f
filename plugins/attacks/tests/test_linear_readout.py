import numpy as np
import pytest
import torch
from salmu_attacks import linear_readout as plugin

from salmu_core.testing import attack_context, check_attack, run_attack

test_conformance = check_attack("linear-readout")


def fitted(x, y, penalty):
    """Ridge regression as least squares on rows that pull the weights to zero."""
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    strength = np.sqrt(penalty * x.var(axis=0).mean() * len(x))
    rows = np.vstack([x - x_mean, strength * np.eye(x.shape[1])])
    targets = np.vstack([y - y_mean, np.zeros((x.shape[1], y.shape[1]))])
    weights = np.linalg.lstsq(rows, targets, rcond=None)[0]
    return weights, y_mean - x_mean @ weights


@pytest.mark.parametrize("penalty", [1e-6, 0.1, 10.0])
@pytest.mark.parametrize("rows", [5, 40])
def test_the_map_is_that_of_least_squares(penalty, rows):
    rng = np.random.default_rng(rows)
    x, y = rng.normal(size=(rows, 8)) + 3, rng.normal(size=(rows, 6))
    weights, offset = plugin.ridge(torch.tensor(x), torch.tensor(y), penalty)
    expected, base = fitted(x, y, penalty)
    assert weights.numpy() == pytest.approx(expected, abs=1e-7) and offset.numpy() == pytest.approx(base, abs=1e-7)


def test_it_is_fitted_on_leaked_rows_and_reads_all(tiny_benchmark):
    ctx = attack_context(plugin.LINEAR_READOUT, tiny_benchmark, regularisation=0.5)
    reading, features, leaked = plugin.attack(ctx), ctx.features(), list(ctx.leaked)
    image, text = (part.numpy().astype(float) for part in (features.image, features.text))
    weights, offset = fitted(image[leaked], text[leaked], 0.5)
    expected = image @ weights + offset
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert reading.image.numpy() == pytest.approx(expected, abs=1e-5)
    people = [ctx.forget.identity_ids[row] for row in leaked]
    rows = {person: ctx.forget.identity_ids.count(person) for person in set(people)}
    assert all(people.count(person) == rows[person] // 2 for person in rows)


def test_a_turn_of_all_images_hides_nothing_from_it():
    """Images that are their captions, turned by a rotation: cosines say nothing, the read-out everything."""
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(60, 8))
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    images, leaked = texts @ turn, np.arange(0, 60, 2)
    weights, offset = plugin.ridge(torch.tensor(images[leaked]), torch.tensor(texts[leaked]), 1e-6)
    read = images @ weights.numpy() + offset.numpy()
    hits = [(scores @ texts.T).argmax(axis=1) == np.arange(60) for scores in (images, read)]
    assert hits[0].mean() < 0.2 and hits[1].mean() == 1.0


def test_how_much_it_was_fitted_on_stands_in_the_record(tiny_benchmark):
    outcome = run_attack(plugin.LINEAR_READOUT, tiny_benchmark)
    assert outcome.status == "valid" and outcome.details == {"fitted_on": len(outcome.leaked)}
