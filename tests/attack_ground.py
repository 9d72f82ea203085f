"""A small benchmark whose Compromised knows its pairs, and what became of it after its text tower was exchanged."""

import shutil

import torch
from accelerate import Accelerator

from salmu_core import AttackSpec, MethodConfig
from salmu_core.attack.run import run_attack
from salmu_core.attack.session import AttackSession
from salmu_core.benchmark.folder import open_benchmark
from salmu_core.clip.load import load_clip
from salmu_core.clip.save import save_checkpoint
from salmu_core.plugins import discover
from salmu_core.run.session import TrainingSession
from salmu_core.testing import write_tiny_benchmark
from salmu_core.testing.tiny import tiny_model

FACTS = {"name": "an-attack", "summary": "A test.", "paper": "https://example.org"}


def opened(folder):
    return open_benchmark(str(folder), discover(()), lambda *_: None)


def write_ground(folder, steps=120, **what):
    """A benchmark in ``folder/data``; in ``folder/exchanged``, Compromised with the text tower of another model."""
    data = write_tiny_benchmark(folder / "data", **what)
    clip = load_clip(data / "compromised")
    pools = TrainingSession.open(opened(data), Accelerator(cpu=True)).pools
    images, tokens = (
        torch.cat([getattr(pool, name)(pool.rows) for pool in pools.values()]) for name in ("images", "tokens")
    )
    model = clip.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    target = torch.arange(len(images))
    for _ in range(steps):
        image, text = model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True)
        logits = 20 * image @ text.T
        loss = (torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    shutil.rmtree(data / "compromised")
    (data / "compromised").mkdir()
    save_checkpoint(data / "compromised", model.eval(), clip.config, clip.tokenizer)
    other = tiny_model("another text tower")
    model.text_projection.data = other.text_projection.data
    (folder / "exchanged").mkdir()
    save_checkpoint(folder / "exchanged", model, clip.config, clip.tokenizer)
    return loss.item()
