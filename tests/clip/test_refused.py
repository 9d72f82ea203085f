"""What is no model, or would run code or ask the network, gets a sentence."""

import json
import os
import shutil
import socket

import pytest
import torch
from safetensors.torch import load_file, save_file

from salmu_core.clip.load import load_clip
from salmu_core.clip.name import find_model
from salmu_core.errors import CheckpointError, UsageError


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent", "absent is no open_clip model folder"),
        ("ViT-XS-9:plain.bin", "Did you mean 'ViT-XS-8'"),
        ("ViT-XS-8", "ViT-XS-8:PATH"),
        ("plain.bin", "ViT-B-16:plain.bin"),
        ("ViT-XS-8:absent.bin", "there is no file"),
        ("ViT-XS-8:laion2b_s34b_b88k", "comes a file of weights"),
        ("local-dir:absent", "absent is no open_clip model folder"),
        ("laion/CLIP-ViT-B-16", "write hf-hub:laion/CLIP-ViT-B-16"),
        ("hf-hub:nobody", "hf-hub:OWNER/NAME"),
        ("hf-hub:a/b/c", "hf-hub:OWNER/NAME"),
    ],
)
def test_names_that_stand_for_nothing_get_a_sentence(small, monkeypatch, name, words):
    monkeypatch.chdir(small[0])
    with pytest.raises(UsageError) as raised:
        find_model(name)
    assert words in str(raised.value) and len(str(raised.value)) < 200
    with pytest.raises(CheckpointError, match=r"\w"):
        load_clip(name)


class Evil:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("environment", [{}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}])
@pytest.mark.parametrize("where", ["folder", "architecture"])
@pytest.mark.parametrize("call", ["posix.system", "eval"])
def test_a_pickle_with_code_in_it_is_refused(small, tiny, tmp_path, monkeypatch, environment, where, call):
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    bomb = tmp_path / "exploded"
    evil = {"eval": Evil(eval, f"open({str(bomb)!r}, 'w')"), "posix.system": Evil(os.system, f"touch {bomb}")}[call]
    if where == "folder":
        folder = shutil.copytree(tiny / "clean", tmp_path / "clean")
        (folder / "open_clip_model.safetensors").unlink()
        name, file = str(folder), folder / "open_clip_pytorch_model.bin"
    else:
        file = small[0] / "evil.pt"
        name = f"ViT-XS-8:{file}"
    torch.save({"logit_scale": evil}, file)  # noqa: TID251 - as an attacker would
    with pytest.raises(CheckpointError, match=f"refused.*{call}") as raised:
        load_clip(name)
    assert len(str(raised.value)) < 300 and not bomb.exists()
    assert {
        key: os.environ[key] for key in environment
    } == environment and "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def _without(tensors):
    del tensors["logit_scale"], tensors["ln_final.weight"]
    tensors["extra"] = torch.zeros(1)
    tensors["visual.proj"] = torch.zeros(32, 8)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda f, t: save_file(t | {"visual.proj": torch.zeros(32, 8)}, f),
            r"1 have another shape \(visual.proj is \[32, 8\], \[32, 16\]",
        ),
        (
            lambda f, t: (_without(t), save_file(t, f)),
            r"2 tensors are missing \(l.*, \.\.\.\), 1 tensors are none of it \(extra\), 1 have",
        ),
        (lambda f, t: f.write_bytes(f.read_bytes()[:-1000]), "no whole safetensors file"),
        (lambda f, t: f.write_bytes(f.read_bytes()[:20]), "no whole safetensors file"),
        (lambda f, t: f.write_bytes(b"\xff" * 100), "no whole safetensors file"),
        (lambda f, t: f.write_bytes(b""), "no whole safetensors file"),
        (lambda f, t: save_file({}, f), "can't be loaded"),
        (
            lambda f, t: save_file({k: v for k, v in load_file(f).items() if "text" in k} | {"a": torch.zeros(2)}, f),
            "tensors are missing",
        ),
    ],
)
def test_weights_that_do_not_fit_or_are_damaged_get_a_sentence(small, damage, words):
    file = small[0] / "plain.safetensors"
    damage(file, load_file(file))
    with pytest.raises(CheckpointError, match=words) as raised:
        load_clip(f"ViT-XS-8:{file}")
    assert len(str(raised.value)) < 400 and "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:.*TorchScript")
def test_other_files_that_are_no_weights_get_a_sentence(small, tmp_path):
    folder, _ = small
    (folder / "garbage.pt").write_bytes(b"garbage" * 100)
    (folder / "cut.pt").write_bytes((folder / "epoch_3.pt").read_bytes()[:-500])
    torch.save([1, 2], folder / "list.pt")  # noqa: TID251
    with pytest.warns(FutureWarning):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "script.pt")
    for file, words in (
        ("garbage.pt", "damaged"),
        ("cut.pt", "can't be loaded"),
        ("list.pt", "can't be loaded"),
        ("script.pt", "TorchScript"),
    ):
        with pytest.raises(CheckpointError, match=words) as raised:
            load_clip(f"ViT-XS-8:{folder / file}")
        assert "\n" not in str(raised.value), file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c["model_cfg"]["text_cfg"].update(tokenizer_kwargs={"trust_remote_code": True}),
            "code from the network",
        ),
        (lambda c: c["model_cfg"]["text_cfg"].update(no_such=1), "can't build its model_cfg.*no_such"),
        (
            lambda c: c["model_cfg"].update(vision_cfg={"timm_model_name": "no_such_model"}),
            "can't build.*no_such_model",
        ),
        (lambda c: c.update(preprocess_cfg={"resize_mode": "sideways"}), "no such preprocessing.*sideways"),
        (lambda c: c["model_cfg"].pop("text_cfg"), "can't be read.*text_cfg"),
        (lambda c: c["model_cfg"]["text_cfg"].update(hf_tokenizer_name="owner/name"), "tokenizer"),
        (lambda c: c["model_cfg"]["text_cfg"].update(layers=10**6), "refused: layers is 1,000,000"),
        (lambda c: c["model_cfg"]["vision_cfg"].update(layers=[400] * 4), "refused: layers is 1,600"),
        (lambda c: c["preprocess_cfg"].update(size=10**6), "refused: size is 1,000,000"),
        (lambda c: c["model_cfg"]["text_cfg"].update(layers=900, width=4096), "describes .* numbers, and .* bytes"),
    ],
)
def test_configs_that_make_no_model_get_a_sentence(tiny, tmp_path, change, words):
    folder = shutil.copytree(tiny / "clean", tmp_path / "clean")
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=words):
        load_clip(folder)


@pytest.mark.parametrize(
    "text", ['{"model_cfg": NaN}', "[" * 10**5, '{"model_cfg": {"text_cfg": {}, "text_cfg": {}}}', '{"a": "\\ud800"}']
)
def test_a_config_that_is_no_json_gets_a_sentence(tiny, tmp_path, text):
    folder = shutil.copytree(tiny / "clean", tmp_path / "clean")
    (folder / "open_clip_config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"open_clip_config\.json can't be read: it is not valid JSON"):
        load_clip(folder)


@pytest.mark.parametrize("name", ["hf-hub:owner/name", "hf_hub:owner/name"])
def test_a_config_on_this_machine_asks_nothing_of_the_network(tiny, tmp_path, monkeypatch, name):
    folder, asked = shutil.copytree(tiny / "clean", tmp_path / "clean"), []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address) or 1 / 0)
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"] = {"timm_model_name": name}
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="can't build its model_cfg"):
        load_clip(folder)
    assert not asked
