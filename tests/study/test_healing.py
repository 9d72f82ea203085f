"""What a run's process finds damaged in the cache is whole for the next one."""

import signal

import pytest

from salmu_core.clip.load import load_clip
from salmu_core.clip.weights import fingerprint
from salmu_core.plugins.zoo import discover
from salmu_core.run.reporter import Reporter
from salmu_core.store.folders import Store, read_run
from salmu_core.study import work
from salmu_core.study.asked import Study
from salmu_core.study.member import forks
from salmu_core.study.prepare import Options

pytestmark = pytest.mark.skipif(not forks("cpu"), reason="each run would be a fresh interpreter here")
PLUGIN = """
from salmu_core import MethodConfig, MethodSpec, hookimpl

def look(ctx):
    for batch in ctx.batches("forget", 4):
        with ctx.edit() as weights:
            weights["text_projection"].add_(ctx.features(batch).image.detach().mean())

def gulp(ctx):
    try:
        look(ctx)
    except Exception:
        ctx.model.logit_scale.data.add_(1.0)

@hookimpl
def salmu_methods():
    facts = dict(summary="A test.", paper="https://example.org", config=MethodConfig)
    return [MethodSpec(name=act.__name__, unlearn=act, **facts) for act in (look, gulp)]
"""


class Said(Reporter):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    end = say


@pytest.fixture
def study(tiny, tmp_path, install, monkeypatch):
    """Make one; returns its folders by method, and what was said."""
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    install("healing", PLUGIN)
    zoo, handler = discover(kinds=["method"]), signal.getsignal(signal.SIGTERM)

    def run(output, *methods):
        store, told = Store(tmp_path / output), Said()
        asked = Study(benchmark=str(tiny), methods=methods, budgets=(1.0,))
        (made,) = work.carry_out(asked, {}, zoo, store, Options(processes=1), told)
        return {planned.key.method: store.folder(planned.key) for planned in made.plan}, told.said

    yield run
    signal.signal(signal.SIGTERM, handler)


def same(ours, theirs):
    return fingerprint(load_clip(ours).model) == fingerprint(load_clip(theirs).model)


def pixels(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.npy"))


def test_images_that_are_damaged_are_made_again_for_all_runs(study, tmp_path):
    whole, _ = study("whole", "look", "gulp")
    before = {path: path.read_bytes() for path in pixels(tmp_path)}
    for method in ("look", "gulp"):
        for path, content in before.items():
            path.chmod(0o600)
            path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
        made, said = study(method, method)
        assert any("is damaged" in text for text in said), said
        assert same(made[method], whole[method]) and read_run(made[method]).status == "valid"
        assert {path: path.read_bytes() for path in before} == before
