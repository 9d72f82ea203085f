"""What has no original that fits is not attacked with one; everything else still is."""

import copy

import open_clip
import pytest
from salmu_attacks import interpolate, reload, rounded

from salmu_core.clip.save import save_checkpoint
from salmu_core.testing import run_attack
from salmu_core.testing.tiny import tiny_config


@pytest.fixture
def deeper(tmp_path):
    """A checkpoint with one more block in its image tower."""
    config = copy.deepcopy(tiny_config())
    config["model_cfg"]["vision_cfg"]["layers"] += 1
    save_checkpoint(tmp_path, open_clip.model.CLIP(**config["model_cfg"]).eval(), config)
    return str(tmp_path)


@pytest.mark.parametrize("spec", [interpolate.INTERPOLATE, reload.RELOAD])
def test_a_checkpoint_of_another_architecture_has_no_original(tiny_benchmark, deeper, spec):
    outcome = run_attack(spec, tiny_benchmark, deeper)
    assert outcome.status == "not-measured" and outcome.traceback is None
    assert outcome.reason.startswith("the original is of another architecture (visual.transformer.resblocks.1.")
    assert "is missing there, and [" in outcome.reason and outcome.reason.count(".") < 8
    assert run_attack(rounded.ROUNDED, tiny_benchmark, deeper).status == "valid"
