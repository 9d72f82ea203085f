"""Any open_clip model: as open_clip itself loads, feeds and encodes it."""

import io
import json
import random
import shutil
import subprocess
import sys

import numpy as np
import open_clip
import pytest
import torch
from clip_models import CAPTIONS, KINDS, PREPROCESS, by_open_clip, by_us, foreign, photo, same
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from salmu_core.clip.load import load_clip
from salmu_core.clip.model import assemble, plain_tokenizer
from salmu_core.clip.name import find_model
from salmu_core.clip.save import save_checkpoint
from salmu_core.errors import CheckpointError
from salmu_core.testing.tiny import tiny_config, tiny_model


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_loads_encodes_and_is_saved_as_open_clip_has_it(kind, tmp_path):
    config = {"model_cfg": KINDS[kind], "preprocess_cfg": PREPROCESS}
    folder = foreign(tmp_path / "model", config)
    clip = load_clip(folder)
    assert same(by_us(clip), by_open_clip(folder))
    assert not clip.model.training and next(clip.model.parameters()).dtype == torch.float32
    with torch.no_grad():
        for parameter in clip.model.parameters():
            parameter.mul_(1.1)
    (tmp_path / "saved").mkdir()
    save_checkpoint(tmp_path / "saved", clip.model, clip.config, clip.tokenizer)
    changed = by_us(clip)
    assert not same(changed, by_open_clip(folder))
    assert same(changed, by_open_clip(tmp_path / "saved"))  # open_clip alone, with what lies in the folder
    assert same(changed, by_us(load_clip(tmp_path / "saved")))


def test_loading_and_saving_leave_random_numbers_threads_and_mode_alone(tmp_path):
    torch.default_generator.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads()
    save_checkpoint(tmp_path, model := tiny_model().train(), tiny_config())
    load_clip(tmp_path)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist(), torch.get_num_threads()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    assert model.training and all(p.grad is None and p.requires_grad for p in model.parameters())


MODES = ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]


def picture(mode, size):
    rgb = photo(*size)
    if mode == "I;16":
        deep = np.random.default_rng(1).integers(0, 65536, (size[1], size[0])).astype(np.uint16)
        return Image.fromarray(deep)
    image = rgb.convert(mode)
    if mode == "RGBA":
        image.putalpha(rgb.convert("L"))
    return image


@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("target", [20, (24, 16)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pixels_are_open_clips_bit_for_bit(resize, target, interpolation):
    told = {**PREPROCESS, "resize_mode": resize, "interpolation": interpolation, "fill_color": 128}
    model = tiny_model()
    model.visual.image_size = target
    clip = assemble("", model, {"model_cfg": {}, "preprocess_cfg": told}, None)
    theirs = image_transform_v2(PreprocessCfg(**told, size=target), is_train=False)
    for mode in MODES:
        for size in ((53, 37), (15, 60), (8, 8)):
            image = picture(mode, size)
            ours = clip.normalize(torch.from_numpy(clip.to_pixels(image)))
            assert torch.equal(ours, theirs(image)), (mode, size)


def test_a_cameras_orientation_is_not_applied_as_open_clip_does_not():
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    photo().save(buffer, "jpeg", exif=exif)
    image = Image.open(buffer)
    clip = assemble("", tiny_model(), tiny_config(), None)
    preprocess = tiny_config()["preprocess_cfg"]
    theirs = image_transform_v2(PreprocessCfg(**preprocess, size=16), is_train=False)
    assert torch.equal(clip.normalize(torch.from_numpy(clip.to_pixels(image))), theirs(image))


@pytest.mark.parametrize("file", ["plain.safetensors", "epoch_3.pt", "plain.bin"])
def test_an_architecture_with_a_file_of_weights(small, file, tmp_path, monkeypatch):
    folder, model = small
    monkeypatch.chdir(folder)
    clip = load_clip(f"ViT-XS-8:{file}")
    assert clip.name == f"ViT-XS-8:{folder.resolve() / file}"
    assert all(torch.equal(v, clip.model.state_dict()[k]) for k, v in model.state_dict().items())
    _, preprocess = open_clip.create_model_from_pretrained("ViT-XS-8", pretrained=str(folder / file))
    assert torch.equal(clip.normalize(torch.from_numpy(clip.to_pixels(photo()))), preprocess(photo()))
    assert torch.equal(clip.tokenize(CAPTIONS), open_clip.get_tokenizer("ViT-XS-8")(CAPTIONS))
    (tmp_path / "saved").mkdir()
    save_checkpoint(tmp_path / "saved", clip.model, clip.config, clip.tokenizer)
    assert same(by_us(clip), by_open_clip(tmp_path / "saved"))


def test_an_architecture_is_fed_as_all_its_published_weights_are():
    from salmu_core.clip.load import _usual

    assert _usual("ViT-B-16-SigLIP")["mean"] == [0.5, 0.5, 0.5] and _usual("ViT-B-16-SigLIP")["resize_mode"] == "squash"
    assert _usual("ViT-B-16")["mean"][0] == pytest.approx(0.48145466) and _usual("ViT-B-16")["std"]


def test_names_that_stand_for_something(tmp_path, tiny):
    assert str(find_model("hf-hub:a/b@v1.0")) == "hf-hub:a/b@v1.0" and find_model("hf-hub:a/b@v1.0").revision == "v1.0"
    assert find_model("hf-hub:a/b").revision is None
    assert find_model("clean", base=tiny).folder == find_model(f"local-dir:{tiny}/clean").folder == (tiny / "clean")
    odd = shutil.copytree(tiny / "clean", tmp_path / "ViT-B-16:x")  # a folder is a folder, whatever its name
    assert find_model("ViT-B-16:x", base=tmp_path).folder == odd


def test_names_are_understood_without_torch():
    code = (
        "import sys; from salmu_core.clip.name import architectures as a; print(len(a()) > 50, 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == [
        "True",
        "False",
    ]


def test_a_tokenizer_of_hugging_face_lies_in_the_folder_and_goes_with_the_checkpoint(tiny, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "a", "photo", "of", "cat", "lives", "in"])}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]")
    config = {"model_cfg": json.loads(json.dumps(KINDS["custom text, bias"])), "preprocess_cfg": PREPROCESS}
    config["model_cfg"]["text_cfg"] |= {
        "hf_tokenizer_name": "owner/name",
        "tokenizer_kwargs": {"clean": "canonicalize"},
    }
    folder = foreign(tmp_path / "model", config)
    made.save_pretrained(folder)
    clip = load_clip(folder)
    assert clip.tokenize(["A photo of a cat"]).tolist()[0][:6] == [2, 3, 4, 2, 5, 0]
    (tmp_path / "saved").mkdir()
    save_checkpoint(tmp_path / "saved", clip.model, clip.config, clip.tokenizer)
    assert same(by_us(clip), by_open_clip(tmp_path / "saved"))
    assert same(by_us(clip), by_us(load_clip(tmp_path / "saved")))
    with pytest.raises(CheckpointError, match="hand it over"):
        plain_tokenizer(config)


def test_a_model_on_a_hub_at_a_revision_with_its_canary(tiny, tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    asked = []

    def fetch(repository, file, *, revision=None):
        asked.append((repository, file, revision))
        if not (snapshot / file).is_file():
            raise EntryNotFoundError("404")
        return str(snapshot / file)

    snapshot = shutil.copytree(tiny / "clean", tmp_path / "snapshot")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    clip = load_clip("hf-hub:owner/name@v2")
    assert clip.name == "hf-hub:owner/name@v2" and {(r, v) for r, _, v in asked} == {("owner/name", "v2")}
    assert [file for _, file, _ in asked] == [
        "open_clip_config.json",
        "salmu_canary.json",
        "open_clip_model.safetensors",
    ]
    config = json.loads((snapshot / "open_clip_config.json").read_text())
    config["model_cfg"]["quick_gelu"] = True
    (snapshot / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="quick_gelu first"):
        load_clip("hf-hub:owner/name")
    (snapshot / "open_clip_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has no weights"):
        load_clip("hf-hub:owner/name")
    (snapshot / "open_clip_config.json").unlink()
    with pytest.raises(CheckpointError, match="is no open_clip model"):
        load_clip("hf-hub:owner/name")

    def offline(*_, **__):
        raise LocalEntryNotFoundError("no network, and not in the cache")

    def cut(repository, file, *, revision=None):  # the network is gone when the canary is asked for
        return fetch(repository, file, revision=revision) if file != "salmu_canary.json" else offline()

    shutil.copytree(tiny / "clean", snapshot, dirs_exist_ok=True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", cut)
    with pytest.raises(CheckpointError, match=r"can't be fetched.*no network"):
        load_clip("hf-hub:owner/name")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: "here")
    (snapshot / "salmu_canary.json").unlink()
    assert load_clip("hf-hub:owner/name").model is not None

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(CheckpointError, match=r"can't be fetched.*no network"):
        load_clip("hf-hub:owner/name")
