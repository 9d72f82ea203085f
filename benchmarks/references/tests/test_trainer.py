"""The loss and its gradients against open_clip's, a step against bare PyTorch, the schedule against numpy."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from open_clip.loss import ClipLoss
from safetensors.torch import load_file
from salmu_references.architecture import new_model, read_architecture
from salmu_references.recipe import Recipe
from torch import Tensor
from torch.nn import functional

from salmu_core.train.descent import learning_rate
from salmu_core.train.place import Accelerated
from salmu_core.train.pretraining import Batch, Towers, Trainer, contrastive, off_centre
from salmu_core.train.settings import Pretraining

SETTINGS = Pretraining(lr=1e-3, warmup=3, weight_decay=0.2)


def _features(rows: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(5)
    image, text = (torch.randn(rows, 8, generator=random) for _ in range(2))
    return image.requires_grad_(), text.requires_grad_(), torch.tensor(14.0, requires_grad=True)


def _gradients(loss: Tensor, leaves: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, leaves))


def test_loss_and_gradients_are_open_clips() -> None:
    leaves = _features(9)
    image, text, scale = functional.normalize(leaves[0]), functional.normalize(leaves[1]), leaves[2]
    mine = contrastive(image, text, scale, 0.0)
    theirs = ClipLoss()(image, text, scale)
    torch.testing.assert_close(mine, theirs)
    for a, b in zip(_gradients(mine, leaves), _gradients(ClipLoss()(*_again(leaves)), leaves), strict=True):
        torch.testing.assert_close(a, b)


def _again(leaves: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    return functional.normalize(leaves[0]), functional.normalize(leaves[1]), leaves[2]


def test_the_centring_term_sees_a_common_offset_and_not_the_own_pairs() -> None:
    assert float(off_centre(torch.eye(4))) == 0.0
    assert float(off_centre(torch.full((4, 4), 0.5))) == pytest.approx(0.25)


PART = """
import os, sys, torch
from torch import distributed as dist
from torch.nn import functional
from safetensors.torch import load_file, save_file
from salmu_references.objective import shared_contrastive
torch.set_num_threads(1)
other = os.fork()
rank, sizes = int(other == 0), (5, 4)
dist.init_process_group("gloo", init_method="file://" + sys.argv[1] + "/meet", rank=rank, world_size=2)
whole = load_file(sys.argv[1] + "/features.safetensors")
begin = sum(sizes[:rank])
leaves = [whole[key][begin:begin + sizes[rank]].clone().requires_grad_() for key in ("image", "text")]
scale = torch.tensor(14.0, requires_grad=True)
pair = [functional.normalize(leaf) for leaf in leaves]
loss = shared_contrastive(*pair, scale, 3.0, sizes, rank)
found = dict(zip(("image", "text", "scale"), torch.autograd.grad(loss, [*leaves, scale])))
save_file({"loss": loss.detach(), **found}, f"{sys.argv[1]}/part-{rank}.safetensors")
dist.barrier()  # whoever leaves first breaks the connection, and gloo's threads must end before the process does
dist.destroy_process_group()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) if other else 0)
"""


def test_two_processes_have_the_gradients_of_one(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    leaves = _features(9)
    save_file({"image": leaves[0].detach(), "text": leaves[1].detach()}, tmp_path / "features.safetensors")
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run([sys.executable, "-c", PART, str(tmp_path)], env=environment, timeout=120, check=True)
    parts = [load_file(tmp_path / f"part-{rank}.safetensors") for rank in (0, 1)]
    loss = contrastive(*_again(leaves), 3.0)
    expected = _gradients(loss, leaves)
    # What sharing gradients does: the mean over the processes of what each one's rows get.
    torch.testing.assert_close((parts[0]["loss"] + parts[1]["loss"]) / 2, loss.detach(), atol=1e-5, rtol=1e-5)
    for key, gradient in zip(("image", "text"), expected, strict=False):
        torch.testing.assert_close(torch.cat([part[key] for part in parts]) / 2, gradient, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close((parts[0]["scale"] + parts[1]["scale"]) / 2, expected[2], atol=1e-5, rtol=1e-5)


def test_the_schedule_is_a_line_and_half_a_cosine() -> None:
    steps, warmup = 50, 8
    line = np.arange(1, warmup + 1) / warmup
    cosine = (1 + np.cos(np.pi * np.arange(steps - warmup) / (steps - warmup))) / 2
    rates = [learning_rate(step, steps, warmup, 1.0) for step in range(steps)]
    np.testing.assert_allclose(rates, np.concatenate([line, cosine]), atol=1e-12)


def _batch(recipe: Recipe) -> Batch:
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (6, 3, 16, 16), generator=random, dtype=torch.uint8)
    tokens = torch.randint(1, 400, (6, 12), generator=random)
    tokens[:, 9] = 49407
    return Batch((images, tokens), (6,))


def test_one_step_is_bare_pytorchs(data: Path) -> None:
    recipe = Recipe(arch=str(data / "arch.json"), batch=6, steps=10, warmup=3, seed=4)
    config = read_architecture(recipe.arch)
    model = new_model(config, recipe)
    bare = copy.deepcopy(model)
    preprocess = config["preprocess_cfg"]
    trainer = Trainer(Towers(model, preprocess["mean"], preprocess["std"]), SETTINGS, 10)
    batch = _batch(recipe)
    ((done, loss, _),) = trainer.run([batch])
    assert done == 1

    mean, std = (torch.tensor(preprocess[key]).view(-1, 1, 1) for key in ("mean", "std"))
    images, tokens = batch.inputs
    found = bare((images / 255 - mean) / std, tokens)
    expected = ClipLoss()(*found)
    torch.testing.assert_close(loss, expected.detach())
    expected.backward()
    torch.nn.utils.clip_grad_norm_(bare.parameters(), 1.0)
    rate, decay = 1e-3 / 3, 0.2
    for (name, parameter), (other, mine) in zip(bare.named_parameters(), model.named_parameters(), strict=True):
        assert name == other
        with torch.no_grad():
            # After one step the moments' bias corrections cancel: Adam moves by the gradient's sign, softened by eps.
            moved = parameter * (1 - rate * decay) if parameter.ndim >= 2 else parameter.clone()
            moved -= rate * parameter.grad / (parameter.grad.abs() + 1e-6)
        torch.testing.assert_close(mine.detach(), moved, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("piece", [1, 4])
def test_pieces_have_the_gradients_of_the_whole(data: Path, piece: int) -> None:
    recipe = Recipe(arch=str(data / "arch.json"), batch=6, steps=4, warmup=1, centring=5, lr=1e-3)
    config = read_architecture(recipe.arch)
    preprocess, models = config["preprocess_cfg"], []
    for each in (0, piece):
        model = new_model(config, recipe)
        towers = Towers(model, preprocess["mean"], preprocess["std"])
        for _, loss, _ in Trainer(towers, recipe, 4, piece=each).run([_batch(recipe)]):
            models.append((loss, {name: parameter.grad for name, parameter in model.named_parameters()}))
    torch.testing.assert_close(models[0][0], models[1][0])
    for name, gradient in models[0][1].items():
        torch.testing.assert_close(models[1][1][name], gradient, atol=1e-6, rtol=1e-4)


def test_the_temperature_is_clamped_and_starts_where_it_is_told(data: Path) -> None:
    recipe = Recipe(arch=str(data / "arch.json"), batch=6, steps=3, warmup=1, init_logit_scale=99.9)
    config = read_architecture(recipe.arch)
    model = new_model(config, recipe)
    assert float(model.logit_scale.detach()) == pytest.approx(math.log(99.9))
    preprocess = config["preprocess_cfg"]
    trainer = Trainer(Towers(model, preprocess["mean"], preprocess["std"]), SETTINGS.model_copy(update={"lr": 0.5}), 3)
    for _ in trainer.run([_batch(recipe)] * 3):
        assert float(model.logit_scale.detach()) <= math.log(100) + 1e-6


def test_null_preprocessing_is_clips(data: Path, tmp_path: Path) -> None:
    told = {"model_cfg": json.loads((data / "arch.json").read_text()), "preprocess_cfg": None}
    (tmp_path / "null.json").write_text(json.dumps(told))
    assert read_architecture(str(tmp_path / "null.json")) == read_architecture(str(data / "arch.json"))


def test_each_model_starts_with_the_same_scale_of_half_precision_gradients() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    told = SimpleNamespace(process_index=0, num_processes=1, device=torch.device("cpu"), scaler=scaler)
    place, weight = Accelerated(told), torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], 0.1)
    scaler.scale(weight * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**15
    place.fresh()
    assert scaler.get_scale() == 2.0**16


def test_the_start_is_a_function_of_the_seed_and_leaves_global_state_alone(data: Path) -> None:
    recipe = Recipe(arch=str(data / "arch.json"), seed=4)
    config, before = read_architecture(recipe.arch), torch.get_rng_state()
    a, b, c = (new_model(config, each).state_dict() for each in (recipe, recipe, recipe.model_copy(update={"seed": 5})))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["visual.proj"], c["visual.proj"])
