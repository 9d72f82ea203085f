"""``salmu tune``: a fair search for settings, by `probe()` alone."""
