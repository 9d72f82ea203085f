"""Where this user's things lie."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Where what can be made again lies: ``$SALMU_CACHE``, else the platform's cache folder for this user."""
    override = os.environ.get("SALMU_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("salmu"))
