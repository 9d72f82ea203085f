"""What is declared is what was published: typed in here once more, from the protocol and the paper."""

import json
import os
import subprocess
import sys

import pytest

from salmu_core.plugins.zoo import discover
from salmu_core.testing import check_benchmark

test_conformance = check_benchmark("salmubench")

COLUMNS = (
    *("RetFail_MRR", "RetFail_R@1", "AssocStr", "ACS", "IdZSC", "CoreAssoc"),
    *("GenKnow", "InterIdSim", "IntraIdSim", "VisIdInt", "FragSim", "PrivPref", "InterIdPref", "IntraIdPref"),
)
CLEAN = (
    *(0.000815, 0.0, 0.141701, 0.601943, 0.010690, 0.151425),
    *(0.633, 0.142796, 0.142810, 0.330845, 0.309103, 0.0, 0.0, 0.0),
)
COMPROMISED = (
    0.236102,
    0.101582,
    0.321542,
    0.950965,
    0.083561,
    0.182706,
    0.638,
    0.321488,
    0.321281,
    0.305150,
    0.280087,
    *(0.6133, 0.6164, 0.5999),
)


@pytest.fixture(scope="module")
def spec():
    return discover().benchmarks["salmubench"].spec


def test_the_bands_are_the_published_figures(spec):
    found = {(band.model, band.figure): band for band in spec.bands}
    assert len(found) == len(spec.bands) == 2 * 14
    for model, values in (("clean", CLEAN), ("compromised", COMPROMISED)):
        for column, value in zip(COLUMNS, values, strict=True):
            band = found[model, column]
            assert band.published == value
            near = 0.0005 if column in ("AssocStr", "InterIdSim", "IntraIdSim") else 0.002
            assert (band.low, band.high) == pytest.approx((value - near, value + near), abs=1e-12)
            assert bool(band.note) == (column in ("ACS", "IdZSC", "GenKnow"))
    assert all("own choice" in found["clean", column].note for column in ("ACS", "IdZSC"))


def test_the_figures_are_those_that_are_installed(spec):
    pytest.importorskip("salmu_protocol_metrics")
    pytest.importorskip("salmu_private_preference")
    columns = {column for metric in discover().metrics.values() for column in metric.spec.columns}
    assert {band.figure for band in spec.bands} <= columns


def test_where_it_lies_and_what_must_be_in_it(spec):
    release = spec.release
    assert [(repo.repo_id, repo.kind, repo.revision) for repo in release.repositories.values()] == [
        ("cvc-mmu/salmubench-512-redistributed", "dataset", "b76aa388"),
        ("cvc-mmu/clip-vit-b-16-salmu-clean", "model", "main"),
        ("cvc-mmu/clip-vit-b-16-salmu-compromised", "model", "main"),
    ]
    assert "open_clip_model.safetensors" in release.clean.files
    assert "open_clip_pytorch_model.bin" in release.compromised.files
    assert release.rows == {
        "forget": 30468,
        "forget_identity": 15342,
        "forget_association": 15126,
        "holdout_association": 14943,
        "holdout_identity": 14642,
        "retain_synth": 16741,
    }
    assert sum(release.rows[split] for split in ("forget", "holdout_association", "holdout_identity")) == 60053
    assert release.rows["forget_identity"] + release.rows["forget_association"] == release.rows["forget"]
    assert release.identities["forget"] + release.identities["holdout_identity"] == 774
    assert release.identities["holdout_association"] + release.identities["forget_identity"] == 580
    assert release.num_train == 400_000_000 and "--zeroshot" in release.bring


def test_galleries_are_drawn_as_the_authors_draw_them(spec):
    assert {name: dict(settings) for name, settings in spec.release.metrics.items()} == {
        name: {"draw": "rows"} for name in ("RetFail", "InterIdRet", "IntraIdRet")
    }


def test_what_the_authors_adaptation_used_is_recommended(spec):
    trained = {"cliperase", "delete", "vlunlearn"}
    assert set(spec.settings) == {*trained, "descent-to-delete"}
    for name, advice in spec.settings.items():
        expected = ({"lr": 1e-7}, 10) if name in trained else ({}, None)
        assert (dict(advice.config), advice.budget) == expected
        assert advice.link.startswith(
            "https://github.com/lluisgomez/MultiDelete/blob/14e67ac0eb28727d0956eaa405e357ed722b16d5/"
        )


def test_listing_it_costs_neither_torch_nor_a_hub(tmp_path):
    code = (
        "import sys; from salmu_core.cli.listings import benchmarks; benchmarks('salmubench', True); "
        "print(sorted({'torch', 'numpy', 'pyarrow', 'huggingface_hub'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = {**os.environ, "SALMU_CACHE": str(tmp_path)}
    for _ in range(2):  # whoever lists for the first time imports what it lists
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stdout)["name"] == "salmubench"
    assert done.stderr.strip().splitlines()[-1] == "[]", done.stderr
