"""Makes a plugin: a complete package that installs, passes its tests and runs, for its author to change."""

from salmu_core.cli.new.make import Kind, make_plugin

__all__ = ["Kind", "make_plugin"]
