"""Records are handed on: no token, no password and no name of whoever made them stands in one."""

import json
import re
from pathlib import Path

import pytest

from salmu_core.contract.config import MethodConfig
from salmu_core.contract.settings import make_config
from salmu_core.contract.specs import MethodSpec
from salmu_core.errors import UsageError
from salmu_core.machine import without_secrets

TOKENS = ("hf_" + "aB3" * 10, "ghp_" + "x1" * 16, "sk-proj-" + "Ab9" * 9, "AKIA" + "QX7Z" * 5)
TALKS = """
import os
from salmu_core import MethodConfig, MethodSpec, hookimpl

class Config(MethodConfig):
    note: str = ""

def unlearn(ctx):
    key, folder = os.environ["SALMU_API_KEY"], os.path.expanduser("~/x")
    raise ValueError(f"https://anna:pass-word@host/x of {key} in {folder}")

SPEC = MethodSpec(name="talks", summary="Tells.", paper="https://x.org", config=Config, unlearn=unlearn)

@hookimpl
def salmu_methods():
    return [SPEC]
"""


class Config(MethodConfig):
    note: str = ""


@pytest.mark.parametrize("token", TOKENS)
def test_tokens_are_known_by_their_shape(token):
    assert without_secrets(f"a {token}, b") == "a ***, b"


def test_words_that_are_none_stay(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "falsefalse")
    monkeypatch.setenv("HOME", "/")
    text = (
        "salmu run task-oriented-vectors --benchmark /data/sk-learn-of-many-words --set a.b=falsefalse http://h:80/x@y"
    )
    assert without_secrets(text) == text


def test_a_home_is_a_tilde_that_a_shell_still_finds(monkeypatch):
    monkeypatch.setenv("HOME", "/home/anna")
    assert without_secrets("--from '/home/anna/my runs' /home/annabel/x") == "--from ~/'my runs' /home/annabel/x"


def test_what_a_method_says_is_kept_without_secrets(install, salmu, tiny):
    install("talks", TALKS)
    secret = "no-shape-is-known-of-it"
    done = salmu("run", "talks", "--benchmark", tiny, "--output", "runs", SALMU_API_KEY=secret)
    assert done.returncode == 1, done.stdout + done.stderr
    (folder,) = (path.parent for path in (salmu.folder / "runs").rglob("run.json"))
    assert "https://***@host/x of *** in ~/x" in json.loads((folder / "run.json").read_text())["reason"]
    assert (folder / "traceback.txt").is_file()
    kept = "".join(path.read_text(errors="replace") for path in folder.iterdir())
    assert not re.search(f"{secret}|pass-word|{re.escape(str(Path.home()))}/", kept)


def test_a_setting_that_is_a_secret_is_refused_and_not_repeated(install, salmu, tiny):
    install("talks", TALKS)
    done = salmu("run", "talks", "--benchmark", tiny, "--set", f"talks.note={TOKENS[0]}", "--output", "runs")
    assert done.returncode == 2 and "talks.note is set to a token" in done.stderr and TOKENS[0] not in done.stderr
    assert not (salmu.folder / "runs").exists()


def test_so_is_one_that_the_environment_calls_a_secret(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "whatever-it-is")
    spec = MethodSpec(name="m", summary="S.", paper="https://x.org", config=Config, unlearn=lambda ctx: None)
    with pytest.raises(UsageError, match="a token or a password"):
        make_config(spec, {"note": "with whatever-it-is"})
    assert make_config(spec, {"note": "with nothing"}).model_dump() == {"note": "with nothing"}
