"""A small benchmark whose Compromised knows its pairs, and two attacks' worth of checkpoints."""

import shutil

import torch
from accelerate import Accelerator

from salmu_core import AttackSpec, MethodConfig
from salmu_core.attack.run import run_attack
from salmu_core.attack.session import AttackSession
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.clip.load import load_clip
from salmu_core.clip.save import save_checkpoint
from salmu_core.plugins.zoo import discover
from salmu_core.run.session import TrainingSession
from salmu_core.testing import write_tiny_benchmark
from salmu_core.testing.tiny import tiny_model

FACTS = {"name": "an-attack", "summary": "A test.", "paper": "https://example.org"}


def opened(folder):
    return open_benchmark(str(folder), discover(()), lambda *_: None)


def write_ground(folder, steps=60):
    """A benchmark in ``folder/data``; in ``folder/exchanged``, Compromised with another model's text projection."""
    data = write_tiny_benchmark(folder / "data", people=16)
    clip = load_clip(data / "compromised")
    pool = TrainingSession.open(opened(data), Accelerator(cpu=True)).pools["forget"]
    images, tokens, target = pool.images(pool.rows), pool.tokens(pool.rows), torch.arange(len(pool))
    model = clip.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        image, text = model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True)
        logits = 20 * image @ text.T
        loss = sum(torch.nn.functional.cross_entropy(each, target) for each in (logits, logits.T))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for kept, change in ((data / "compromised", False), (folder / "exchanged", True)):
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        if change:
            model.text_projection.data = tiny_model("another text tower").text_projection.data
        save_checkpoint(kept, model.eval(), clip.config, clip.tokenizer)
    return folder


def attack(function, kind="model", config=MethodConfig, **spec):
    """An attack given by its function."""
    return AttackSpec(**FACTS, **{kind: function}, config=config, **spec)


class Ground:
    """A session over a ground, and its checkpoints by name."""

    def __init__(self, folder, metrics):
        self.folder = folder
        self.session = AttackSession.open(opened(folder / "data"), metrics, Accelerator(cpu=True))
        self.clips = {
            name: self.session.load(str(folder / name)) for name in ("data/compromised", "data/clean", "exchanged")
        }

    def __call__(self, spec, target="exchanged", seed=0, **config):
        """Attack a checkpoint; what goes wrong is the test's unless it asks for `failing`."""
        target = target if target == "exchanged" else f"data/{target}"
        return run_attack(spec, spec.config(**config), seed, self.clips[target], self.session)


def nudge(ctx):
    with ctx.edit() as weights:
        weights["logit_scale"] += 1e-3


def by_name(rows, column):
    """File name -> value, read from the table with nothing of the core's."""
    lines = rows.to_pylist()
    return {line["file_name"]: line["value"] for line in lines if line["column"] == column}


def unattacked(ground, target):
    """A harmless attack's figures, which are the checkpoint's own."""
    outcome = ground(attack(nudge), target)
    assert outcome.status == "valid", outcome.traceback
    return outcome
