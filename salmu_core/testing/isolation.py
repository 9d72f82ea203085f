"""Plugins that exist for one test only."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoints, distributions
from pathlib import Path
from typing import TYPE_CHECKING

from salmu_core.contract.kinds import PROJECT
from salmu_core.plugins import zoo as plugins
from salmu_core.plugins.zoo import Zoo, discover

if TYPE_CHECKING:
    import pytest


def write_plugin(folder: Path, name: str, source: str, *, entry: str, module: str, requires: str, version: str) -> Path:
    """Write a plugin of one module and its metadata into a folder of the import path; see `IsolatedPlugins.install`."""
    file = folder / f"{module}.py"
    file.write_text(source, encoding="utf-8")
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: {requires}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[{PROJECT}]\n{entry} = {module}\n", encoding="utf-8")
    return file


class IsolatedPlugins:
    """Installs plugins into a folder of their own and hides all others from `discover`.

    Only this process is blind; one it starts sees what is installed, and this folder if it is on its path.

    Args:
        folder: Where to install.
        monkeypatch: Undoes it after the test.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self.folder = folder
        self._visible: set[str] = set()
        self._modules: set[str] = set()
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.setattr(plugins, "entry_points", self._entry_points)
        monkeypatch.setattr(plugins, "cache_folder", lambda: folder)  # what is remembered of others stays as it is

    def install(
        self,
        name: str,
        source: str,
        *,
        entry: str | None = None,
        module: str | None = None,
        requires: str = "salmu-core>=0.2,<0.3",
        version: str = "1.0",
    ) -> Path:
        """Install a plugin of one module from source text, as pip would leave it.

        Args:
            name: Of the distribution.
            source: Of the module.
            entry: Name of its entry point; by default the distribution's.
            module: Its name; by default ``salmu_test_`` and the plugin's name.
            requires: The requirement it states.
            version: Of the distribution.

        Returns:
            The module's file.
        """
        module = module or "salmu_test_" + name.replace("-", "_")
        file = write_plugin(
            self.folder, name, source, entry=entry or name, module=module, requires=requires, version=version
        )
        self._modules.add(module)
        self.show(name)
        return file

    def show(self, distribution: str) -> None:
        """Make an installed distribution visible."""
        self._visible.add(distribution)

    def discover(self) -> Zoo:
        """What is visible, as `salmu` would sort it."""
        return discover()

    def forget(self) -> None:
        """Drop the modules that were installed here."""
        for name in self._modules & set(sys.modules):
            del sys.modules[name]

    def _entry_points(self, group: str) -> EntryPoints:
        found = (d for name in sorted(self._visible) for d in distributions(name=name))
        return EntryPoints(point for dist in found for point in dist.entry_points if point.group == group)
