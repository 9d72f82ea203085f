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


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_each_map_is_fitted_on_leaked_rows_and_read_on_all(tiny_benchmark):
    ctx = attack_context(plugin.LINEAR_READOUT, tiny_benchmark, regularisation=0.5)
    readings, features, leaked = plugin.attack(ctx), ctx.features(), list(ctx.leaked)
    image, text = (part.numpy().astype(float) for part in (features.image, features.text))
    tokens = ctx.inner("visual.transformer.resblocks.0").numpy().astype(float)
    assert tokens.ndim == 3

    def mapped(x, y):
        weights, offset = fitted(x[leaked], y[leaked], 0.5)
        return unit(x @ weights + offset)

    images, captions, middle = readings
    assert [reading.label for reading in readings] == ["images", "captions", "middle layer"]
    assert images.texts is None and images.image.numpy() == pytest.approx(mapped(image, text), abs=1e-5)
    assert torch.equal(captions.image, features.image)
    assert captions.texts(ctx.forget.captions).numpy() == pytest.approx(mapped(text, image), abs=1e-4)
    assert middle.image.numpy() == pytest.approx(mapped(tokens.mean(axis=1), text), abs=1e-4)
    people = [ctx.forget.identity_ids[row] for row in leaked]
    rows = {person: ctx.forget.identity_ids.count(person) for person in set(people)}
    assert all(people.count(person) == rows[person] // 2 for person in rows)


@pytest.mark.parametrize(
    ("layers", "middle"),
    [
        ([f"visual.transformer.resblocks.{n}{part}" for n in range(12) for part in ("", ".mlp")], "resblocks.5"),
        (["visual", "visual.conv1", *(f"visual.layer{n}" for n in (1, 2, 3, 4)), "visual.layer2.0"], "layer2"),
        ([f"visual.trunk.blocks.{n}" for n in range(3)], "blocks.1"),
    ],
)
def test_the_middle_one_of_the_blocks_is_read(layers, middle):
    assert plugin.middle(layers).endswith(middle) and plugin.middle(["visual", "visual.of_another_kind.0"]) is None


def test_what_a_layer_gives_is_one_vector_an_image():
    tokens, places = torch.arange(24.0).reshape(2, 3, 4), torch.arange(48.0).reshape(2, 4, 2, 3)
    assert plugin.pooled(tokens).tolist() == tokens.numpy().mean(axis=1).tolist()
    assert plugin.pooled(places).tolist() == places.numpy().mean(axis=(2, 3)).tolist()
    assert torch.equal(plugin.pooled(tokens[:, 0]), tokens[:, 0])


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


def test_a_tower_without_known_blocks_is_not_read_in_the_middle(tiny_benchmark, monkeypatch):
    monkeypatch.setattr(plugin, "middle", lambda layers: None)
    outcome = run_attack(plugin.LINEAR_READOUT, tiny_benchmark)
    assert [*outcome.details["readings"]] == ["images", "captions"] and [*outcome.not_measured] == ["middle layer"]


def test_how_much_it_was_fitted_on_stands_in_the_record(tiny_benchmark):
    outcome = run_attack(plugin.LINEAR_READOUT, tiny_benchmark)
    assert outcome.status == "valid", outcome.traceback or outcome.reason
    told = outcome.details["readings"]
    assert {reading["fitted_on"] for reading in told.values()} == {len(outcome.leaked)}
    assert told["middle layer"]["layer"] == "visual.transformer.resblocks.0"
    assert outcome.values["Rank"] == max(reading["values"]["Rank"] for reading in told.values())
