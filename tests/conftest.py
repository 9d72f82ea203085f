"""Fixtures: a tiny benchmark, and plugins that exist for one test only."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from launcher import Launcher

from salmu_core.plugins.zoo import Zoo, discover
from salmu_core.testing.isolation import write_plugin


@pytest.fixture(scope="session")
def tiny(tiny_benchmark) -> Path:
    """A tiny benchmark; tests must not change it."""
    return tiny_benchmark


@pytest.fixture(scope="session")
def zoo() -> Zoo:
    """All that is installed."""
    return discover()


@pytest.fixture
def imported(monkeypatch) -> Iterator[Callable[[str, str], ModuleType]]:
    """Import a script from its folder in the checkout; others have scripts of the same names, so all go again."""
    before = set(sys.modules)
    folders = []

    def take(folder: str, name: str) -> ModuleType:
        folders.append(Path(__file__).parents[1] / folder)
        monkeypatch.syspath_prepend(str(folders[-1]))
        return importlib.import_module(name)

    yield take
    for name in sys.modules.keys() - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent in folders:
            del sys.modules[name]


@pytest.fixture
def site(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder on the import path for plugins of this test only."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    # Python's cache of compiled files takes an edit of the same second and length for none.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield folder
    for name in [n for n in sys.modules if n.startswith("test_plugin_")]:
        del sys.modules[name]


@pytest.fixture
def install(site) -> Callable[..., None]:
    """Install a plugin from source text, as pip would leave it."""

    def make(name: str, source: str, *, requires: str = "salmu-core>=0.1", version: str = "1.0") -> None:
        module = "test_plugin_" + name.replace("-", "_")
        write_plugin(site, name, source, entry=name, module=module, requires=requires, version=version)

    return make


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Runs the command line; most commands are forked from a process that has torch already."""
    made = Launcher()
    yield made
    made.close()


@pytest.fixture
def salmu(launcher, site, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own, in an empty folder, with this test's plugins installed.

    With ``fresh=True`` the interpreter is started for it alone: where another process must come to the same, or where
    the test looks at the process itself. ``launch`` are words of a command that starts it, ``module`` is run instead.
    """
    work = tmp_path / "work"
    work.mkdir()

    def run(
        *words: str,
        launch: tuple[str, ...] = (),
        fresh: bool = False,
        timeout: float = 240,
        module: str = "salmu_core",
        **env: str,
    ) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        whole = {**os.environ, "PYTHONPATH": path, "SALMU_CACHE": str(tmp_path / "cache"), "COLUMNS": "100", **env}
        if not launch:
            return launcher.run([*map(str, words)], work, whole, timeout, fresh, module)
        command = [*launch, "-m", "salmu_core"] if "accelerate" in "".join(launch) else [*launch]
        return subprocess.run(
            [*command, *map(str, words)], cwd=work, env=whole, capture_output=True, text=True, timeout=timeout
        )

    run.folder = work
    return run
