"""``salmu publish``: a run as a folder for a hub, with a model card."""
