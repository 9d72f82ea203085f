"""How many runs share a card, in numbers; what is known of a card, by a driver's tool that is made up."""

import ast
import json
import stat
import sys
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
from accelerate.state import AcceleratorState

from salmu_core.errors import UsageError
from salmu_core.run import accelerator, card
from salmu_core.run.card import Card, first_card
from salmu_core.run.sharing import memory_of_run, runs_at_a_time

GIB = 2**30
H100 = Card("NVIDIA H100 80GB HBM3", 78 * GIB, 80 * GIB, (9, 0))
VIT = {"model_cfg": open_clip.get_model_config("ViT-B-16")}
WEIGHTS = 149_620_737
MEASURED = json.loads(
    (Path(__file__).parents[2] / "docs" / "data" / "device" / "nvidia-h100-80gb-hbm3.json").read_text()
)["results"]


def test_what_a_run_takes_is_near_what_it_was_measured_to_take():
    (run,) = (r for r in MEASURED if r["kind"] == "unlearned")
    batches = run["pairs"] // run["steps"]
    estimate = memory_of_run(VIT, WEIGHTS, batches, half=True) / GIB
    assert run["peak_gib"] < estimate < 1.4 * run["peak_gib"]  # which is the tensors' alone


def test_a_larger_batch_takes_as_much_more_as_was_measured():
    steps = {r["batch"]: r["peak_gib"] for r in MEASURED if r["kind"] == "training" and r["variant"] == "eager"}
    measured = steps[384] - steps[64]
    estimate = memory_of_run(VIT, WEIGHTS, 768, half=True) - memory_of_run(VIT, WEIGHTS, 128, half=True)
    assert estimate / GIB == pytest.approx(measured, rel=0.15)
    full = memory_of_run(VIT, WEIGHTS, 768, half=False) - memory_of_run(VIT, WEIGHTS, 128, half=False)
    assert full == 2 * estimate


@pytest.mark.parametrize(
    "given, runs",
    [
        ({}, 2),
        ({"card": None}, 1),
        ({"memory": None}, 1),
        ({"cores": 1}, 1),
        ({"pairs": 128}, 2),
        ({"pairs": 256}, 1),
        ({"weights": 430_000_000, "pairs": 32}, 2),
        ({"weights": 430_000_000, "pairs": 64}, 1),
        ({"card": replace(H100, free=24 * GIB)}, 2),
        ({"card": replace(H100, free=19 * GIB)}, 1),
        ({"card": replace(H100, free=2 * GIB)}, 1),
    ],
)
def test_runs_at_a_time(given, runs):
    usual = {"card": H100, "memory": 9 * GIB, "weights": 150_000_000, "pairs": 32, "cores": 16}
    assert runs_at_a_time(**{**usual, **given}) == runs


@pytest.mark.parametrize("name", ["RN50", "coca_ViT-B-32", "ViT-B-16-SigLIP"])
def test_of_other_models_nothing_is_guessed_or_it_is_a_number(name):
    memory = memory_of_run({"model_cfg": open_clip.get_model_config(name)}, 10**8, 32, half=True)
    assert memory is None or memory > 6 * 4 * 10**8
    assert memory_of_run({}, 10**8, 32, half=True) is None


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """Puts a tool in the path that answers as it is told, and keeps what it was asked."""

    def put(answer, code=0):
        tool = tmp_path / "nvidia-smi"
        asked = tmp_path / "asked"
        tool.write_text(
            f"#!{sys.executable}\nimport sys\nopen({str(asked)!r}, 'w').write(' '.join(sys.argv))\n"
            f"print({answer!r})\nsys.exit({code})\n"
        )
        tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", str(tmp_path))
        return asked

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return put


def test_a_card_is_known_by_its_drivers_tool(driver, monkeypatch):
    asked = driver("NVIDIA H100 80GB HBM3, 79872, 81920, 9.0")
    assert first_card() == H100 and asked.read_text().endswith("-i 0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert first_card() == H100 and asked.read_text().endswith("-i 3")
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert first_card() is None


@pytest.mark.parametrize(
    "answer, code", [("", 0), ("No devices were found", 6), ("H100, [N/A], 81920, 9.0", 0), ("a, b, c, d, e", 0)]
)
def test_what_a_tool_does_not_say_is_no_card(driver, answer, code):
    driver(answer, code)
    assert first_card() is None


def test_without_the_tool_there_is_no_card(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert first_card() is None


def test_a_precision_that_a_card_has_not_is_one_sentence_before_torch_is_asked(driver):
    driver("Tesla V100-SXM2-16GB, 16000, 16384, 7.0")
    with pytest.raises(UsageError, match=r"^--mixed-precision bf16: Tesla V100-SXM2-16GB has no bfloat16"):
        accelerator.check_precision("bf16")
    accelerator.check_precision("fp16")
    driver("NVIDIA A100, 40000, 40960, 8.0")
    for precision in (None, "no", "bf16", "fp16"):
        accelerator.check_precision(precision)


@pytest.fixture
def fresh_state():
    """Accelerate keeps for a whole process what it was first told, even if that failed."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("precision", ["fp16", "fp8", "int4"])
def test_a_precision_that_a_cpu_has_not_is_one_sentence(precision, monkeypatch, fresh_state):
    monkeypatch.setattr(accelerator, "first_card", lambda: None)
    with pytest.raises(UsageError) as error:
        accelerator.check_precision(precision)
        accelerator.accelerate(precision, 1)
    assert str(error.value).startswith(f"--mixed-precision {precision}") and "\n" not in str(error.value)


def test_what_accelerate_lets_pass_is_tried(fresh_state):
    # It takes fp16 on a CPU, computes in float32, and says fp16.
    with pytest.raises(UsageError, match=r"fp16.*float32 all the same"):
        accelerator.accelerate("fp16", 1)


def test_bf16_works_on_a_cpu(fresh_state):
    assert accelerator.accelerate("bf16", 1).mixed_precision == "bf16"


def test_nothing_of_it_touches_a_card():
    nodes = ast.walk(ast.parse(Path(card.__file__).read_text()))
    assert "torch" not in {node.names[0].name for node in nodes if isinstance(node, ast.Import)}
