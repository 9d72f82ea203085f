"""The canary: a model that is fed otherwise than it was trained is refused, and told why."""

import json
import random
import shutil
import time
from contextlib import nullcontext

import numpy as np
import open_clip
import pytest
import torch
import typer
from safetensors.torch import load_file, save_file

from salmu_core.cli.canary import canary as command
from salmu_core.clip import canary
from salmu_core.clip.load import load_clip
from salmu_core.clip.model import assemble, plain_tokenizer
from salmu_core.clip.name import CONFIG
from salmu_core.clip.save import save_checkpoint
from salmu_core.contract.layout import WEIGHTS
from salmu_core.disk.hashing import hash_file
from salmu_core.errors import CheckpointError, UsageError
from salmu_core.testing.tiny import tiny_config, tiny_model


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A model folder with a canary; its preprocessing is SigLIP's, its context not CLIP's."""
    folder = tmp_path_factory.mktemp("model")
    config = tiny_config()
    config["preprocess_cfg"] = {
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "squash",
    }  # fmt: skip
    save_checkpoint(folder, tiny_model(), config)
    return folder


@pytest.fixture
def model(written, tmp_path):
    return shutil.copytree(written, tmp_path / "model")


def changed(folder, change):
    config = json.loads((folder / CONFIG).read_text())
    change(config["model_cfg"], config["preprocess_cfg"])
    (folder / CONFIG).write_text(json.dumps(config))


def test_it_is_what_open_clip_gives(written):
    kept = json.loads((written / canary.CANARY).read_text())
    net, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{written}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{written}")
    with torch.no_grad():
        images = net.eval().encode_image(preprocess(canary.picture())[None])
        texts = net.encode_text(tokenizer(list(canary.TEXTS)))
    assert np.allclose(kept["images"], (images / images.norm(dim=1, keepdim=True))[:, :32], atol=1e-6)
    assert np.allclose(kept["texts"], (texts / texts.norm(dim=1, keepdim=True))[:, :32], atol=1e-6)
    assert np.allclose(kept["image_lengths"] + kept["text_lengths"], [*images.norm(dim=1), *texts.norm(dim=1)])
    assert kept["weights"] == hash_file(written / WEIGHTS) and len(kept["written_with"]) == 3


def test_its_inputs_show_every_step_of_the_way():
    picture = np.asarray(canary.picture())
    assert picture.shape == (100, 150, 3) and len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000
    first, long = canary.TEXTS
    assert not first.isascii() and first != first.lower() and any(map(str.isdigit, first)) and len(long.split()) > 256
    # The inputs must never change under a canary that was written: another picture, another text, another hash.
    assert canary.inputs_hash() == "39071cb835d388a93af8cb710341a2fb7b58b5b1a0154c73ede3f04e8903a565"


def test_the_same_weights_have_the_same_hash_with_and_without_it(written, tmp_path):
    model = tiny_model()
    before = hash_file(written / WEIGHTS)
    assert save_checkpoint(tmp_path, model, tiny_config()) == before  # another config, another canary
    assert (tmp_path / canary.CANARY).read_bytes() != (written / canary.CANARY).read_bytes()


IMAGES, TEXTS, BOTH = r"Look at preprocess_cfg", r"Look at text_cfg", r"Look at model_cfg \(quick_gelu"
MISMATCHES = {
    "quick gelu": (lambda m, p: m.update(quick_gelu=True), BOTH),
    "interpolation": (lambda m, p: p.update(interpolation="bilinear"), IMAGES),
    "resize mode": (lambda m, p: p.update(resize_mode="shortest"), IMAGES),
    "fill": (lambda m, p: p.update(resize_mode="longest"), IMAGES),
    "no preprocessing": (lambda m, p: p.clear(), IMAGES),
    "mean": (lambda m, p: p.update(mean=[0.4, 0.5, 0.5]), IMAGES),
    "case": (lambda m, p: m["text_cfg"].update(tokenizer_kwargs={"clean": "whitespace"}), TEXTS),
    "context": (lambda m, p: m["text_cfg"].update(context_length=30), TEXTS),
    "image size": (lambda m, p: m["vision_cfg"].update(image_size=24), IMAGES),
    "two": (lambda m, p: (m.update(quick_gelu=True), p.update(interpolation="bilinear")), BOTH),
    "heads": (lambda m, p: m["text_cfg"].update(heads=4), TEXTS),
    "vision heads": (lambda m, p: m["vision_cfg"].update(head_width=16), IMAGES),
    "both heads": (lambda m, p: (m["vision_cfg"].update(head_width=16), m["text_cfg"].update(heads=4)), BOTH),
}


@pytest.mark.parametrize("mismatch", MISMATCHES)
def test_a_mismatch_is_never_silent_and_where_to_look_is_said(model, mismatch):
    change, words = MISMATCHES[mismatch]
    assert load_clip(model).model is not None
    changed(model, change)
    with pytest.raises(CheckpointError, match=rf"images are off by .*, texts by .* is allowed\. {words}") as raised:
        load_clip(model)
    assert len(str(raised.value)) < 500
    assert load_clip(model, check=False).model is not None


def test_other_weights_under_an_old_canary(model):
    tensors = load_file(model / WEIGHTS)
    tensors["visual.proj"] *= 1.01  # a length alone
    save_file(tensors, model / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"is not the file it was written for.*salmu canary .* --write"):
        load_clip(model)


def test_an_architecture_with_the_file_a_canary_was_written_for_is_held_against_it(model, monkeypatch, capsys):
    monkeypatch.setattr("salmu_core.clip.name.architectures", lambda: ["ViT-Tiny"])
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-Tiny", tiny_config()["model_cfg"])
    name = f"ViT-Tiny:{model / WEIGHTS}"  # is fed as CLIP is, and the folder's config says otherwise
    with pytest.raises(CheckpointError, match=r"Look at preprocess_cfg.*lies beside it: load"):
        load_clip(name)
    with pytest.raises(typer.Exit):
        command(name, False, True)
    assert json.loads(capsys.readouterr().out)["canary"]
    kept = json.loads((model / canary.CANARY).read_text())
    (model / canary.CANARY).write_text(json.dumps({**kept, "weights": "0" * 64}))  # another file's
    assert load_clip(name).model is not None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda t: "{", "can't be read.*--write"),
        (lambda t: "", "can't be read"),
        (lambda t: t.replace('"images"', '"pictures"'), "can't be read"),
        (lambda t: t.replace('"inputs": "', '"inputs": "0'), "other inputs.*--write"),
        (lambda t: t.replace('"schema_version": 1', '"schema_version": 2'), "other inputs"),
        (lambda t: json.dumps({**json.loads(t), "texts": []}), "texts by inf"),
        (lambda t: json.dumps({**json.loads(t), "images": [None]}), "images are off by inf"),
    ],
)
def test_a_damaged_canary_is_a_sentence(model, damage, words):
    path = model / canary.CANARY
    path.write_text(damage(path.read_text()))
    with pytest.raises(CheckpointError, match=words):
        load_clip(model)


def test_a_model_without_one_is_loaded(model):
    (model / canary.CANARY).unlink()
    assert canary.read_canary(model) is None and load_clip(model).model is not None


def test_a_model_that_gives_nan_has_a_canary_that_says_so(tmp_path):
    wrecked = tiny_model()
    with torch.no_grad():
        wrecked.visual.proj.fill_(3e38)  # finite, its products are not
    save_checkpoint(tmp_path, wrecked, tiny_config())
    assert json.loads((tmp_path / canary.CANARY).read_text())["images"] == [None]
    assert load_clip(tmp_path).model is not None
    changed(tmp_path, lambda m, p: m.update(quick_gelu=True))
    with pytest.raises(CheckpointError, match="Look at text_cfg"):
        load_clip(tmp_path)


def test_threads_precision_and_batches_do_not_disturb_it(written):
    kept, clip = canary.read_canary(written), load_clip(written)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 + threads % 2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            off = canary.deviation(kept, clip)
            assert max(off.images, off.texts) <= canary.TOLERANCE
    finally:
        torch.set_num_threads(threads)


def test_a_tokenizer_that_drops_words_at_random_has_the_same_canary_twice(tmp_path):
    config = json.loads(json.dumps(tiny_config()))
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"reduction_mask": "simple"}
    save_checkpoint(tmp_path, tiny_model(), config)
    random.seed(7)
    load_clip(tmp_path)
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = {"reduction_mask": "random"}
    clip = assemble("", tiny_model(), config, plain_tokenizer(config))
    before = canary.make_canary(clip)
    torch.rand(1)
    assert canary.make_canary(clip) == before


def test_it_takes_one_pass_of_each_tower(written):
    clip, passes = load_clip(written, check=False), []
    clip.model.visual.register_forward_hook(lambda _, given, __: passes.append(len(given[0])))
    clip.model.token_embedding.register_forward_hook(lambda _, given, __: passes.append(len(given[0])))
    start = time.perf_counter()
    canary.check_canary(canary.read_canary(written), clip, written / WEIGHTS)
    assert passes == [1, 2] and time.perf_counter() - start < 5


def test_salmu_canary_shows_checks_and_writes_one(model, capsys):
    def salmu(*words, fails=False):
        with pytest.raises(typer.Exit) if fails else nullcontext():
            command(str(model), "--write" in words, "--json" in words)
        return " ".join(capsys.readouterr().out.split())

    assert salmu().endswith("to 0.")
    facts = json.loads(salmu("--json"))
    assert facts["canary"] and facts["sound"] and facts["deviation"] == {"images": 0.0, "texts": 0.0}
    changed(model, lambda m, p: m.update(quick_gelu=True))
    assert "quick_gelu first" in salmu(fails=True)
    assert not json.loads(salmu("--json", fails=True))["sound"]
    assert "new canary" in salmu("--write") and salmu().endswith("to 0.")
    (model / canary.CANARY).unlink()
    assert "has no canary" in (said := salmu()) and "--write" in said
    (model.parent / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="belongs to a benchmark"):
        salmu("--write")
    with pytest.raises(UsageError, match="is none"):
        command("hf-hub:a/b", True, False)


def test_salmu_canary_is_a_command(salmu):
    done = salmu("canary", "absent")
    assert done.returncode == 2 and "no open_clip model folder" in done.stderr


def test_a_study_says_which_model_lost_its_canary(salmu, tiny):
    config = shutil.copytree(tiny, salmu.folder / "tiny") / "clean" / "open_clip_config.json"
    config.write_text(config.read_text().replace("0.25", "0.75"))
    words = ("--budget", "1", "--processes", "1", "--set", "negative-gradient.batch_size=4")
    done = salmu("run", "negative-gradient", "--benchmark", "./tiny", *words)
    assert done.returncode == 1 and "canary" in done.stdout + done.stderr and "Traceback" not in done.stderr
