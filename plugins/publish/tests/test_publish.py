"""``salmu publish``: a folder for a hub, whole, true to the run, and safe to render."""

import json
import re

import open_clip
import pytest
import torch
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from PIL import Image
from published import FILES, card, edit
from salmu_publish.make import Wanted, make_folder, read_run

from salmu_core.disk.hashing import hash_json
from salmu_core.disk.record import FileSeal
from salmu_core.errors import StoreError, UsageError
from salmu_core.show.escape import fenced, plain


@torch.no_grad()
def embeddings(source):
    model, preprocess = open_clip.create_model_from_pretrained(source)
    model.eval()
    tokens = open_clip.get_tokenizer(source)(["A photo of somebody", "Person Number3"])
    picture = Image.linear_gradient("L").convert("RGB").resize((40, 30))
    return model.encode_image(preprocess(picture)[None]), model.encode_text(tokens)


def test_the_folder_is_whole_and_its_weights_are_the_runs(run, zoo, tmp_path):
    before = {path: path.read_bytes() for path in run.iterdir()}
    found = make_folder(read_run(run, zoo), Wanted(run, tmp_path / "out", "apache-2.0", "owner/name"))
    assert {path.name for path in found.folder.iterdir()} == FILES == set(found.files)
    assert {path: path.read_bytes() for path in run.iterdir()} == before  # copied, never moved
    for file in FILES - {"README.md"}:
        assert (found.folder / file).read_bytes() == (run / file).read_bytes()
    for ours, theirs in zip(embeddings(f"local-dir:{found.folder}"), embeddings(f"local-dir:{run}"), strict=True):
        assert torch.equal(ours, theirs)


def test_the_cards_front_matter_is_what_a_hub_reads(run, zoo, tmp_path):
    sound = read_run(run, zoo)
    found = make_folder(sound, Wanted(run, tmp_path / "out", "cc-by-4.0"))
    data = ModelCard.load(found.folder / "README.md").data
    assert (data.library_name, data.pipeline_tag, data.license) == (
        "open_clip",
        "zero-shot-image-classification",
        "cc-by-4.0",
    )
    assert {"salmu", "machine-unlearning", "finetuning"} <= set(data.tags)
    recorded = {
        column: value
        for entry in json.loads((run / "metrics.json").read_text())["metrics"].values()
        for column, value in entry["values"].items()
    }
    assert {result.metric_type: result.metric_value for result in data.eval_results} == pytest.approx(
        recorded, abs=1e-6
    )
    assert all(
        result.metric_args["low"] <= result.metric_value <= result.metric_args["high"] for result in data.eval_results
    )


def test_the_card_says_where_it_comes_from_what_it_shows_and_what_it_does_not(run, zoo, tmp_path):
    sound = read_run(run, zoo, notice="All people in it are invented.")
    text = card(make_folder(sound, Wanted(run, tmp_path / "out", None, "owner/name")).folder)
    record = json.loads((run / "run.json").read_text())
    assert text.split("---\n\n")[1].startswith("> **All people in it are invented.**")
    for fact in (
        record["benchmark"]["data_hash"],
        record["benchmark"]["start_model_hash"],
        record["files"]["open_clip_model.safetensors"]["sha256"],
        record["plugin"]["code_hash"],
        record["plugin"]["version"],
        record["config_hash"],
        record["command"],
        record["started"],
    ):
        assert fact in text, fact
    assert f"{record['ledger']['retain_samples']} retain pairs" in text and "batch\\_size = 8" in text
    assert "no privacy guarantee" in text and "no proof" in text and "One world" in text and "One seed" in text
    assert "did not say under which licence" in text and "Clean" in text and "Compromised" in text
    line = sound.line
    for name, figure in line.figures.items():
        (row,) = [r for r in text.splitlines() if r.startswith(f"| {plain(name)} |")]
        assert f"{figure.value.value:.4f}" in row and f"{figure.value.low:.4f} to {figure.value.high:.4f}" in row
    for mode in line.diagnosis.verdicts:
        assert f"| {mode} |" in text
    (code,) = re.findall(r"```python\n(.*?)```", text, re.S)
    assert '"hf-hub:owner/name"' in code


def test_the_card_of_a_later_run_says_which_ones_came_before(run, zoo, tmp_path):
    record = json.loads((run / "run.json").read_text())
    facts = {name: record[name] for name in ("config_hash", "budget", "seed", "request")}
    before = {"method": "delete", "folder": "elsewhere", **facts, "checkpoint_hash": "1" * 64}
    edit(run / "run.json", start={"checkpoint_hash": "1" * 64, "role": "run", "runs": [before]})
    run = run.rename(run.with_name(f"{run.name}-f{'1' * 8}"))
    text = card(make_folder(read_run(run, zoo, notice=""), Wanted(run, tmp_path / "out", None, None)).folder)
    assert f"Compromised, then delete b5 s0 ({record['config_hash'][:6]})" in text.replace("\\", "")
    assert "1" * 64 in text and 'Other runs came before, see\n"begun with" below.\n\n## Verdict' in text


def test_the_cards_example_works(run, zoo, tmp_path, monkeypatch):
    found = make_folder(read_run(run, zoo), Wanted(run, tmp_path / "out"))
    (code,) = re.findall(r"```python\n(.*?)```", card(found.folder), re.S)
    monkeypatch.chdir(found.folder)
    names: dict = {}
    exec(code, names)
    assert len(names["tokenizer"](["a"])) == 1 and callable(names["preprocess"]) and not names["model"].training


HOSTILE = (
    "x](https://evil.example) <script>alert(1)</script> | a | ![i](https://e.example/i.png) `c` **b** &lt; $x$\n\n# H"
)


def test_texts_from_data_are_shown_and_never_rendered(run, zoo, tmp_path):
    path = run / "run.json"
    record = json.loads(path.read_text())
    record["plugin"]["distribution"] = record["command"] = record["started"] = record["environment"]["torch"] = HOSTILE
    record["config"]["note"] = HOSTILE
    record["command"] += "\n```\n# Out\n```````\n"
    record["config_hash"] = hash_json(record["config"])
    edit(path, **record)
    run = run.parent.rename(run.parent.with_name(hash_json(record["config"])[:12])) / run.name
    text = card(make_folder(read_run(run, zoo, notice=HOSTILE), Wanted(run, tmp_path / "out")).folder)
    body = text.split("---\n\n", 1)[1]
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    flat = [*tokens, *(child for token in tokens for child in token.children or ())]
    assert {token.type for token in flat}.isdisjoint({"html_block", "html_inline", "image"})
    links = [token.attrGet("href") for token in flat if token.type == "link_open"]
    assert links == ["https://arxiv.org/abs/2603.26316"]
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert [h for h in headings if h.startswith(("H", "Out"))] == [] and len(headings) == 8
    assert all(row.count(" | ") < 9 for row in body.splitlines() if row.startswith("| ") and "evil" not in row)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    assert "<script" not in html and "&lt;script&gt;" in html and "<strong>b</strong>" not in html
    assert ModelCard(text).data.library_name == "open_clip"


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        "# x",
        "- x",
        "+ x",
        "1. x",
        "1) x",
        "---",
        "===",
        "> x",
        "    code",
        "*a*",
        "_a_",
        "~~~",
        "[a]: b",
        "<b>",
        "a\\",
        "12",
    ],
)
def test_any_text_comes_out_of_markdown_as_it_went_in(text):
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(plain(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    shown = "".join(child.content for child in tokens[1].children)
    assert {child.type for child in tokens[1].children} <= {"text", "text_special"} and shown == " ".join(text.split())
    assert plain("-0.25") == "-0.25" and plain(1.5) == "1.5"
    (block,) = MarkdownIt().parse(fenced(f"a ``` {text} ````` b\n```", "python"))
    assert block.type == "fence" and text in block.content


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda f: (f / "run.json").unlink(), UsageError, "is no run folder"),
        (lambda f: edit(f / "run.json", status="crashed", reason="it fell"), UsageError, "crashed: it fell"),
        (lambda f: (f / "metrics.json").unlink(), UsageError, "not scored"),
        (lambda f: edit(f / "metrics.json", checkpoint_hash="0"), UsageError, "not scored"),
        (lambda f: edit(f / "run.json", method="other"), StoreError, "record of another run"),
        (lambda f: (f / "run.json").write_text("{"), StoreError, "damaged"),
        (lambda f: (f / "open_clip_model.safetensors").write_bytes(b"x"), StoreError, "damaged"),
        (lambda f: (f / "per_row.parquet").unlink(), StoreError, "is missing"),
        (
            lambda f: edit(f / "open_clip_config.json", preprocess_cfg={"mean": [0, 0, 0], "std": [1, 1, 1]}),
            StoreError,
            "open_clip_config.json is damaged",
        ),
    ],
)
def test_a_run_that_is_no_result_is_refused_and_nothing_is_written(run, zoo, tmp_path, damage, error, words):
    damage(run)
    with pytest.raises(error, match=words):
        make_folder(read_run(run, zoo), Wanted(run, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_replaced_only_if_it_was_published_and_force_is_given(run, zoo, tmp_path):
    sound, out = read_run(run, zoo), tmp_path / "out"
    make_folder(sound, Wanted(run, out))
    with pytest.raises(UsageError, match="--force"):
        make_folder(sound, Wanted(run, out))
    (out / ".git").mkdir()
    with pytest.raises(UsageError, match=r"\.git was never published"):
        make_folder(sound, Wanted(run, out, replace=True))
    (out / ".git").rmdir()
    make_folder(sound, Wanted(run, out, replace=True))
    assert {path.name for path in out.iterdir()} == FILES
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years")
    for place in (home, home / "thesis.tex", run, run.parent / "b6-s0", tmp_path):
        with pytest.raises(UsageError, match="Give another folder"):
            make_folder(sound, Wanted(run, place, replace=True))
    assert (home / "thesis.tex").read_text() == "years" and (run / "per_row.parquet").is_file()
    with pytest.raises(UsageError, match="no licence"):
        make_folder(sound, Wanted(run, tmp_path / "new", "Apache 2.0\nx: y"))
    assert not (tmp_path / "new").exists()


def test_a_failure_in_the_middle_leaves_nothing(run, zoo, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    sound = read_run(run, zoo)
    monkeypatch.setattr("salmu_publish.make.shutil.copyfile", full)
    with pytest.raises(UsageError, match="No space left"):
        make_folder(sound, Wanted(run, tmp_path / "out"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_a_checkpoint_that_changes_while_it_is_copied_is_not_published(run, zoo, tmp_path, monkeypatch):
    def other(_, target):
        target.write_bytes(b"other")

    sound = read_run(run, zoo)
    monkeypatch.setattr("salmu_publish.make.shutil.copyfile", other)
    with pytest.raises(StoreError, match="changed while it was copied"):
        make_folder(sound, Wanted(run, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_the_checkpoint_was_written_with_goes_along_and_nothing_else(run, zoo, tmp_path):
    for name in ("tokenizer.json", "state.safetensors"):
        (run / name).write_text("{}")
    names = {*FILES, "tokenizer.json", "state.safetensors"} - {"README.md", "metrics.json", "run.json"}
    edit(run / "run.json", files={name: FileSeal.of(run / name).model_dump() for name in names})
    (run / "vocab.txt").write_text("somebody's")
    found = make_folder(read_run(run, zoo), Wanted(run, tmp_path / "out"))
    assert set(found.files) == {*FILES, "tokenizer.json"}
