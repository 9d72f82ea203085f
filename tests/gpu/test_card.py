"""What a card computes is what a CPU computes, as near as two kinds of arithmetic come, and is of use there.

python -m pytest -m gpu tests/gpu -n 0
"""

import subprocess
import sys
from contextlib import nullcontext

import gpu_entry as entry
import pytest
import torch

from salmu_core.clip.load import load_clip
from salmu_core.run import draws
from salmu_core.run.ahead import Ahead, SideStream
from salmu_core.train.compiled import Compiler
from salmu_core.train.pieces import Pieces

pytestmark = pytest.mark.gpu

METHODS = ("direct-similarity", "finetuning")


def difference(ours, theirs, start):
    """Norm of the difference between two sets of weights, as a share of how far the second has come."""
    off, way = (
        torch.cat([(a[name] - b[name]).flatten() for name in a]).norm() for a, b in ((ours, theirs), (theirs, start))
    )
    return float(off / way)


@pytest.fixture(scope="module")
def start():
    return entry.trained("cpu", steps=0)[0]


@pytest.fixture(scope="module")
def on_cpu():
    return entry.trained("cpu")


@pytest.fixture(scope="module")
def study(tiny, tmp_path_factory):
    """A study of two methods, all on the card; its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("study")
    words = ["--benchmark", str(tiny), "--budget", "2", "--output", "runs", "--processes", "1", "--json"]
    return folder, entry.salmu(folder, "run", *METHODS, *words)


def test_training_comes_to_where_the_cpu_comes(start, on_cpu):
    weights, losses = entry.trained("cuda")
    assert losses[-1] == pytest.approx(on_cpu[1][-1], rel=1e-3)
    assert difference(weights, on_cpu[0], start) < 0.02


def test_the_same_seed_comes_to_the_same(start):
    first, again = entry.trained("cuda"), entry.trained("cuda")
    assert difference(first[0], again[0], start) < 1e-3


def test_bf16_trains_and_stays_near_float32(start, on_cpu):
    weights, losses = entry.trained("cuda", "bf16")
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())
    assert losses[-1] == pytest.approx(on_cpu[1][-1], rel=0.05)
    assert 0 < difference(weights, on_cpu[0], start) < 0.7


def test_embeddings_and_cosines_are_the_cpus(tiny):
    ours, theirs = entry.embedded("cuda", tiny), entry.embedded("cpu", tiny)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.device.type == "cpu" and value.dtype == torch.float32
        assert (value - theirs[name]).abs().max() < 1e-4, name
    for split in ("forget", "retain_disjoint"):
        a, b = (found[f"images of {split}"] @ found[f"captions of {split}"].T for found in (ours, theirs))
        assert (a - b).abs().max() < 1e-4, split


def test_tf32_and_bf16_outside_never_show_in_embeddings(tiny):
    plain, before = entry.embedded("cuda", tiny), torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cuda", dtype=torch.bfloat16):
            sloppy = entry.embedded("cuda", tiny)
    finally:
        torch.set_float32_matmul_precision(before)
    assert all((value - plain[name]).abs().max() < 1e-6 for name, value in sloppy.items())


def weights(outcome):
    return {name: p.detach().float().cpu() for name, p in outcome.model.named_parameters()}


@pytest.fixture(scope="module")
def eager(tiny):
    """A run on the card, and what its model was before."""
    outcome = entry.unlearned("cuda", tiny)
    assert outcome.status == "valid" and outcome.ledger.steps > 5
    before = load_clip(tiny / "compromised").model
    return weights(outcome), {name: p.detach().clone() for name, p in before.named_parameters()}


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_a_run_that_is_killed_goes_on_to_where_it_would_have_come(tiny, eager, tmp_path, precision):
    outcome, told = entry.resumed("cuda", tiny, tmp_path / "saves", precision)
    undisturbed = entry.unlearned("cuda", tiny, precision=precision)
    assert outcome.status == undisturbed.status == "valid" and not told
    assert difference(weights(outcome), weights(undisturbed), eager[1]) < (0.02 if precision == "no" else 0.1)
    assert outcome.ledger.steps == undisturbed.ledger.steps and outcome.fits == undisturbed.fits


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_cuda_graphs_come_to_where_the_eager_run_comes(tiny, eager, precision):
    words = []
    outcome = entry.unlearned("cuda", tiny, Compiler("on", words.append), precision)
    assert outcome.status == "valid" and outcome.compiled == "CUDA graphs" and not words
    against = eager[0] if precision == "no" else weights(entry.unlearned("cuda", tiny, precision=precision))
    assert difference(weights(outcome), against, eager[1]) < (0.02 if precision == "no" else 0.3)


def test_graphs_are_recorded_anew_for_the_next_run(tiny, eager):
    compiler = Compiler("on")
    for _ in range(2):
        outcome = entry.unlearned("cuda", tiny, compiler)
        assert outcome.compiled == "CUDA graphs" and difference(weights(outcome), *eager) < 0.02


def test_memory_that_runs_out_ends_graphs_first_and_then_cuts_batches(tiny, eager, monkeypatch):
    encode, calls = Pieces.encode, []

    def full(self, tower, inputs):
        calls.append(self.size)
        if not self.size and len(calls) in (5, 9):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(self, tower, inputs)

    monkeypatch.setattr(Pieces, "encode", full)
    words = []
    outcome = entry.unlearned("cuda", tiny, Compiler("on", words.append))
    assert outcome.status == "valid" and outcome.micro_batch and outcome.compiled == "CUDA graphs, given up"
    assert len(words) == 1 and difference(weights(outcome), *eager) < 0.02


def test_a_step_read_ahead_is_the_step(tiny, eager, monkeypatch):
    monkeypatch.setattr(draws, "ahead", lambda device: nullcontext())
    assert difference(weights(entry.unlearned("cuda", tiny)), *eager) < 1e-3


def test_what_comes_by_the_side_stream_is_what_was_sent():
    device = torch.device("cuda", 0)
    lane = SideStream(device)
    sent = [torch.full((8, 3, 224, 224), k, dtype=torch.uint8) for k in range(20)]
    busy = torch.randn(4096, 4096, device=device)
    for pixels in sent:
        coming = lane.send(pixels)
        busy = (busy @ busy).clamp(-1, 1)
        assert torch.equal(lane.receive(coming).cpu(), pixels)
    assert Ahead(lane).close() is None


def test_a_card_is_asked_about_without_touching_it(card):
    code = (
        "import torch; from salmu_core.run.card import first_card; card = first_card(); "
        "assert not torch.cuda.is_initialized(); print(card.name, card.free > 0, card.capability)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"{card} True {torch.cuda.get_device_capability()}"


def test_a_study_ends_in_a_table(study, card):
    folder, printed = study
    rows = {row["method"]: row for row in printed["runs"]}
    assert set(rows) == set(METHODS) and all(row["status"] == "valid" for row in rows.values())
    assert all(row["metric_errors"] == {} and len(row["metrics"]) > 8 for row in rows.values())
    for _, record in entry.records(folder / "runs"):
        assert record["environment"]["device"] == card


def test_a_runs_memory_is_the_cards(study):
    for folder, record in entry.records(study[0] / "runs"):
        weights = (folder / "open_clip_model.safetensors").stat().st_size
        peak = record["ledger"]["peak_memory_bytes"]
        # The process itself has gigabytes; on the card lie a few copies of the weights, gradients and moments.
        assert 4 * weights < peak < 400 * 2**20


def test_a_checkpoint_made_on_the_card_is_the_same_model_on_a_cpu(study):
    for folder, _ in entry.records(study[0] / "runs"):
        assert (folder / "salmu_canary.json").is_file()
        clip = load_clip(folder)  # compares its embeddings with the canary's, or raises
        assert next(clip.model.parameters()).device.type == "cpu"


def test_a_cpu_scores_it_as_the_card_did(study, tiny, tmp_path):
    folder, _ = entry.records(study[0] / "runs")[0]
    words = ["evaluate", str(folder), "--benchmark", str(tiny), "--json", "--output"]
    ours, theirs = (entry.salmu(tmp_path, *words, place, card=place == "card")["metrics"] for place in ("card", "cpu"))
    assert ours.keys() == theirs.keys()
    for name in ("AssocStr", "InterIdSim", "IntraIdSim", "FragSim", "VisIdInt"):
        assert ours[name] == pytest.approx(theirs[name], abs=1e-4), name


def test_two_processes_share_a_card(study, tiny, tmp_path):
    words = ["--benchmark", str(tiny), "--budget", "2", "--output", "runs", "--processes", "2", "--json"]
    printed = entry.salmu(tmp_path, "run", *METHODS, *words)
    ours, alone = ({row["method"]: row["metrics"] for row in found["runs"]} for found in (printed, study[1]))
    assert all(row["status"] == "valid" for row in printed["runs"])
    for method in METHODS:
        assert ours[method]["AssocStr"] == pytest.approx(alone[method]["AssocStr"], abs=1e-3)


def test_a_study_shares_the_card_by_itself_and_says_so(tiny, tmp_path):
    words = ["run", *METHODS, "--benchmark", str(tiny), "--budget", "1", "--output", "runs", "--set"]
    sizes = [f"{method}.batch_size=4" for method in METHODS]
    said = entry.command(tmp_path, *words, sizes[0], "--set", sizes[1])
    assert "2 runs at a time on" in " ".join((said.stdout + said.stderr).split())


def test_a_compiled_study_says_so(tiny, tmp_path):
    words = ["--benchmark", str(tiny), "--budget", "2", "--output", "runs", "--compile", "on", "--json"]
    printed = entry.salmu(tmp_path, "run", METHODS[1], *words)
    assert [row["status"] for row in printed["runs"]] == ["valid"]
    assert [r["environment"]["compiled"] for _, r in entry.records(tmp_path / "runs")] == ["CUDA graphs"]


def test_a_study_in_bf16_says_so(tiny, tmp_path):
    words = ["--benchmark", str(tiny), "--budget", "1", "--output", "runs", "--mixed-precision", "bf16", "--json"]
    printed = entry.salmu(tmp_path, "run", METHODS[0], *words)
    assert [row["status"] for row in printed["runs"]] == ["valid"]
    assert [r["environment"]["precision"] for _, r in entry.records(tmp_path / "runs")] == ["bf16"]
