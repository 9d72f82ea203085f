"""The plugins that the documentation builds step by step are sound, and their tests pass."""

import os
import tomllib
from pathlib import Path

import pytest
from doc_blocks import plugin_pages

from salmu_core.testing.conformance import RULES, examine

pytestmark = pytest.mark.xdist_group("salmu conformance")

PAGES = {page.stem: files for page, files in plugin_pages()}
#: What a page builds, where that is no method.
KINDS = {"metric": "metric", "attack": "attack"}


@pytest.fixture
def installed(isolated_plugins, tmp_path):
    """Every tutorial's plugin: its files, and its entry point's name."""
    found = {}
    for page, files in PAGES.items():
        project = tomllib.loads(files["pyproject.toml"])["project"]
        ((entry, module),) = project["entry-points"]["salmu"].items()
        requires, *_ = project["dependencies"]
        source = files[f"{module}.py"]
        isolated_plugins.install(project["name"], source, entry=entry, module=module, requires=requires)
        for path in (p for p in files if p.startswith("tests/")):
            test = tmp_path / page / Path(path).name
            test.parent.mkdir()
            test.write_text(files[path])
        found[page] = entry
    return found


def test_each_conforms(installed):
    assert set(installed) >= {"loss-method", "weight-edit", "wrapper", "metric", "attack"}
    for page, name in installed.items():
        kind = KINDS.get(page, "method")
        report = examine(kind, name)
        assert report.sound, report.markdown(RULES[kind])
        assert {f.rule for f in report.findings if f.verdict == "advice"} <= {"provenance"}, page


def test_their_tests_pass(installed, isolated_plugins, tmp_path, salmu):
    folders = [str(tmp_path / page) for page in installed]
    words = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-k", "not conformance"]
    words += ["-c", os.devnull, "--rootdir", tmp_path, *folders]
    done = salmu(*words, module="pytest", PYTHONPATH=str(isolated_plugins.folder))
    assert done.returncode == 0 and "9 passed" in done.stdout, done.stdout
