"""Weights in the forms in which people have them: the same model, and what is not as it was is said."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from salmu_core.clip.load import load_clip
from salmu_core.clip.name import CANARY, CONFIG
from salmu_core.disk import notes
from salmu_core.errors import CheckpointError

WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture
def model(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(notes.LOG, "propagate", True)
    monkeypatch.setattr(notes, "_said", set())
    return shutil.copytree(tiny / "compromised", tmp_path / "model")


def state_of(folder):
    return load_file(folder / WEIGHTS)


def put(folder, state, **more):
    """Weights as a pickle beside other things, in place of the safetensors."""
    (folder / WEIGHTS).unlink()
    torch.save({**state, **more}, folder / "open_clip_pytorch_model.bin")  # noqa: TID251 - as others do


def same(folder, state):
    loaded = load_clip(folder).model.state_dict()
    return loaded.keys() == state.keys() and all(torch.equal(loaded[name], value) for name, value in state.items())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "model._orig_mod.module."])
def test_names_that_wrappers_have_put_before_are_taken_off(model, prefix):
    state = state_of(model)
    put(model, {prefix + name: value for name, value in state.items()})
    assert same(model, state)


def test_what_a_trainer_keeps_beside_the_model_is_left_and_said(model, caplog):
    state = state_of(model)
    wrapped = {f"model.{name}": value for name, value in state.items()} | {"loss.labels": torch.ones(3)}
    put(model, {}, state_dict=wrapped, state_dict_ema=state, epoch=3)
    assert same(model, state)
    assert "1 tensors that don't begin with 'model.' are left out ('loss.labels')" in caplog.text
    assert "'state_dict_ema' beside 'state_dict'" in caplog.text


def shards_of(folder):
    state = state_of(folder)
    (folder / WEIGHTS).unlink()
    names = sorted(state)
    files = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: state[name] for name in names if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return state


def test_weights_in_several_files_are_put_together(model):
    assert same(model, shards_of(model))


def test_a_shard_that_is_missing_or_elsewhere_is_named(model):
    shards_of(model)
    (model / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors is missing"):
        load_clip(model)
    (model / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../a.safetensors"}}')
    with pytest.raises(CheckpointError, match="names no files beside it"):
        load_clip(model)


def test_a_pointer_of_git_lfs_is_named(model):
    (model / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    with pytest.raises(CheckpointError, match=r"Git LFS pointer.*git lfs pull"):
        load_clip(model)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_said(model, kind, caplog):
    (model / CANARY).unlink()
    save_file({name: value.to(kind) for name, value in state_of(model).items()}, model / WEIGHTS)
    assert load_clip(model).model.text_projection.dtype == torch.float32
    assert f"tensors are {str(kind).removeprefix('torch.')}" in caplog.text


def test_whole_numbers_are_no_weights(model):
    save_file({name: value.to(torch.int64) for name, value in state_of(model).items()}, model / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"holds torch\.int64, which are no weights"):
        load_clip(model)


def test_other_shapes_that_are_mended_are_said(model, caplog):
    (model / CANARY).unlink()
    config = json.loads((model / CONFIG).read_text())
    config["model_cfg"]["vision_cfg"]["image_size"], config["preprocess_cfg"] = 32, None
    (model / CONFIG).write_text(json.dumps(config))
    state = state_of(model)
    save_file({**state, "logit_scale": state["logit_scale"].reshape(1)}, model / WEIGHTS)
    load_clip(model)
    assert "visual.positional_embedding has 5 positions, and the config wants 17: it was resized" in caplog.text
    assert "logit_scale has the shape [1], the model []" in caplog.text
    assert (
        "no preprocess_cfg" in caplog.text and f"has no {CANARY}" in caplog.text and "without quick_gelu" in caplog.text
    )


def test_a_model_as_it_was_written_says_nothing(model, caplog):
    load_clip(model)
    assert not caplog.text


@pytest.mark.parametrize("content", [{"a": 3}, {}, [1, 2], {"state_dict": {"a": "text"}}])
def test_what_holds_no_tensors_is_a_sentence(model, content):
    (model / WEIGHTS).unlink()
    torch.save(content, model / "open_clip_pytorch_model.bin")  # noqa: TID251 - as others do
    with pytest.raises(CheckpointError, match="other things than tensors"):
        load_clip(model)


def test_nothing_begins_with_weights_that_are_no_numbers(salmu, tiny):
    folder = shutil.copytree(tiny, salmu.folder / "b")
    state = state_of(folder / "compromised")
    state["text_projection"][3, 3] = float("inf")
    save_file(state, folder / "compromised" / WEIGHTS)
    (folder / "compromised" / CANARY).unlink()
    done = salmu("run", "finetuning", "--benchmark", "./b", "--processes", "1")
    assert done.returncode == 1 and "text_projection has NaN or infinite values" in done.stdout
    assert "Traceback" not in done.stderr and not list(salmu.folder.rglob("run.json"))
