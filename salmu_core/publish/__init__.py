"""``salmu publish``: a run as a folder for a hub, with a model card."""

from salmu_core.publish.make import Published, Wanted, make_folder, read_run

__all__ = ["Published", "Wanted", "make_folder", "read_run"]
