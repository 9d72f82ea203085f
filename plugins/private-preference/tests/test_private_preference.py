"""The shares are those of plain loops; ties, missing captions and people are what the README says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from salmu_private_preference import salmu_metrics

from salmu_core.errors import NotMeasuredError
from salmu_core.testing import check_metric, metric_context, write_tiny_benchmark

SPECS = {spec.name: spec for spec in salmu_metrics()}
SPLITS = {"PrivPref": "forget", "InterIdPref": "holdout_identity", "IntraIdPref": "holdout_association"}
GENERIC = "sensitive_set_generic_captions.json"

test_privpref_conforms, test_interidpref_conforms, test_intraidpref_conforms = map(check_metric, SPECS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_benchmark(tmp_path_factory.mktemp("tiny"), people=12)


def one(ctx, caption):
    return ctx.texts([caption])[0].numpy().astype(np.longdouble)


@pytest.mark.parametrize("name", SPECS)
def test_a_row_says_which_of_its_two_captions_is_nearer(folder, name):
    split, generic = SPLITS[name], json.loads((folder / GENERIC).read_text())
    seen = set()
    for model in ("clean", "compromised"):
        ctx = metric_context(SPECS[name], folder, model)
        captions = [fact["caption"] for fact in ctx.facts(split)]
        # As the benchmark writes them, row by row: they tell of the same file.
        plain = [generic[file] for file in ctx._embedder.data.names(split)[0]]
        result = SPECS[name].compute(ctx)
        images = ctx.images(split).numpy().astype(np.longdouble)
        expected = [
            float(image @ one(ctx, private) > image @ one(ctx, other))
            for image, private, other in zip(images, captions, plain, strict=True)
        ]
        np.testing.assert_array_equal(result.per_row.values, expected)
        assert result.per_row.split == split and result.per_row.index is None and result.chance == 0.5
        seen |= set(expected)
    assert seen == {0, 1}


def embedded(ctx, image, private, generic):
    """A context in which captions are these vectors."""
    known = {caption: private for caption in ctx.captions("forget")}
    data = ctx._embedder.data

    class Fixed:
        def images(self, split):
            return torch.tensor([image] * len(ctx.captions(split)))

        def texts(self, captions):
            return torch.tensor([known.get(caption, generic) for caption in captions])

    ctx._embedder = Fixed()
    ctx._embedder.data = data
    return ctx


@pytest.mark.parametrize(
    ("private", "generic", "value"),
    [
        ([0.6, 0.8, 0.0], [0.8, 0.6, 0.0], 0),
        ([0.8, 0.6, 0.0], [0.6, 0.8, 0.0], 1),
        ([0.6, 0.8, 0.0], [0.6, 0.0, 0.8], 0.5),
        ([-0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], 1),
    ],
)
def test_a_tie_counts_half_whatever_else_the_captions_are(folder, private, generic, value):
    ctx = embedded(metric_context(SPECS["PrivPref"], folder), [1.0, 0.0, 0.0], private, generic)
    assert set(SPECS["PrivPref"].compute(ctx).per_row.values) == {value}


def test_what_the_benchmark_has_no_generic_caption_for_is_not_measured(tmp_path):
    folder = write_tiny_benchmark(tmp_path / "some")
    generic, ctx = json.loads((folder / GENERIC).read_text()), metric_context(SPECS["InterIdPref"], folder)
    for file in ctx._embedder.data.names("holdout_identity")[0][:3]:
        del generic[file]
    (folder / GENERIC).write_text(json.dumps(generic))
    with pytest.raises(NotMeasuredError, match=f"^{GENERIC} has no caption for 3 of 8 rows of holdout_identity$"):
        SPECS["InterIdPref"].compute(metric_context(SPECS["InterIdPref"], folder))
    for name in ("PrivPref", "IntraIdPref"):
        assert len(SPECS[name].compute(metric_context(SPECS[name], folder)).per_row.values)


def test_what_is_forgotten_should_reach_clean_and_what_stays_compromised():
    facts = {name: (spec.pillar, spec.target, spec.role, spec.reads) for name, spec in SPECS.items()}
    assert facts == {
        "PrivPref": ("efficacy", "clean", "other", ("forget",)),
        "InterIdPref": ("utility", "compromised", "other", ("holdout_identity",)),
        "IntraIdPref": ("utility", "compromised", "other", ("holdout_association",)),
    }
