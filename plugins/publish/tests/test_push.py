"""``salmu publish --push``: what goes to the hub, and what is said where it can not."""

import inspect
import json
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from published import FILES, card, edit
from salmu_publish.cli import publish

from salmu_core.errors import SalmuError, UsageError
from salmu_core.testing import typed


class Hub:
    """Stands in for the hub: notes what it is asked, or fails."""

    def __init__(self, monkeypatch, private=True, fails=None):
        self.calls, hub, real = [], self, huggingface_hub.HfApi

        class Api:
            def __init__(self, token=None):
                hub.calls.append(("token", token))

            def create_repo(self, repository, **named):
                if fails:
                    raise fails
                inspect.signature(real.create_repo).bind(self, repository, **named)
                hub.calls.append(("create", repository, named))
                return f"https://hub.example/{repository}"

            def repo_info(self, repository, repo_type):
                return SimpleNamespace(private=private)

            def upload_folder(self, **named):
                inspect.signature(real.upload_folder).bind(self, **named)
                files = {path.name for path in named.pop("folder_path").iterdir()}
                hub.calls.append(("upload", files, named))

        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_secret")


def refused(status, kind=HfHubHTTPError):
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return kind("no\nmore", response=response)


@pytest.mark.parametrize("private", [True, False])
def test_push_uploads_the_folder(run, tmp_path, monkeypatch, capsys, private):
    hub = Hub(monkeypatch, private)
    publish(run, tmp_path / "out", "owner/name", private, "mit", False, True)
    token, create, upload = hub.calls
    assert token == ("token", "hf_secret")
    assert create == ("create", "owner/name", {"private": private, "exist_ok": True, "repo_type": "model"})
    assert upload[1] == FILES
    world = run.parents[2].name
    message = f"finetuning on {world}, budget 5, seed 0"
    assert upload[2] == {"repo_id": "owner/name", "repo_type": "model", "commit_message": message}
    said = capsys.readouterr().out
    told = json.loads(said)
    assert told["address"] == "https://hub.example/owner/name" and "hf_secret" not in said + card(tmp_path / "out")
    assert "hf-hub:owner/name" in card(tmp_path / "out") and told["line"]["figures"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused(401), "does not let this token write"),
        (refused(403), "does not let this token write"),
        (refused(500), "Nothing was uploaded: HfHubHTTPError: no"),
        (refused(404, RepositoryNotFoundError), "Nothing was uploaded"),
        (OfflineModeIsEnabled("off"), "HF_HUB_OFFLINE"),
        (ConnectionError("no route\nto host"), "can't be reached"),
        (OSError("disk"), "can't be reached"),
    ],
)
def test_an_upload_that_fails_is_a_sentence_and_the_folder_stays(run, tmp_path, monkeypatch, error, words):
    Hub(monkeypatch, fails=error)
    with pytest.raises(SalmuError, match=words) as raised:
        publish(run, tmp_path / "out", "owner/name", True, None, False, False)
    assert "same command tries again" in str(raised.value) and "\n" not in str(raised.value)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_push_uploads_what_was_made_and_edited_before(run, tmp_path, monkeypatch):
    out, hub = tmp_path / "out", Hub(monkeypatch)

    def push(licence=None):
        publish(run, out, "owner/name", True, licence, False, True)

    publish(run, out, None, True, "mit", False, True)
    edit(out / "run.json", command="salmu run")
    (out / "README.md").write_text(card(out).replace(str(tmp_path), "..."))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    push("mit")
    assert hub.calls[-1][:2] == ("upload", FILES)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    uploads, notes = len(hub.calls), out / "notes.txt"
    with pytest.raises(UsageError, match=r"does not say 'license: apache-2\.0'"):
        push("apache-2.0")
    notes.write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt was never published"):
        push()
    notes.unlink()
    (out / "metrics.json").unlink()
    with pytest.raises(UsageError, match=r"has no metrics\.json.*--force"):
        push()
    (out / "metrics.json").write_bytes(before["metrics.json"])
    weights = before["open_clip_model.safetensors"]
    (out / "open_clip_model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(UsageError, match="holds another open_clip_model"):
        push()
    assert not [call for call in hub.calls[uploads:] if call[0] == "upload"]


def test_what_can_be_refused_before_anything_is_written_is(run, tmp_path, monkeypatch):
    hub = Hub(monkeypatch, private=False)
    with pytest.raises(UsageError, match="already and public"):  # a private upload must not end up in public
        publish(run, tmp_path / "out", "owner/name", True, None, False, False)
    assert [call[0] for call in hub.calls] == ["token", "create"]
    for repository, private, licence, words in (
        ("name", True, None, "OWNER/NAME"),
        ("../x/y", True, None, "OWNER/NAME"),
        ("owner/name", False, None, "--licence"),
    ):
        with pytest.raises(UsageError, match=words):
            publish(run, tmp_path / "new", repository, private, licence, False, False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(UsageError, match="no token"):
        publish(run, tmp_path / "new", "owner/name", True, None, False, False)
    assert not (tmp_path / "new").exists()


def test_salmu_publish_is_a_command(run, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    done = typed(tmp_path, "publish", run, "--licence", "mit")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "published").iterdir()
    assert {path.name for path in folder.iterdir()} == FILES and "Nothing was uploaded" in done.stdout
