"""Where what can be made again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

#: Environment variable that names another folder for all caches.
CACHE_VARIABLE = "TLM_EDGE_CACHE"


def cache_root() -> Path:
    """The folder of all caches: the user's cache folder for this program, or what ``TLM_EDGE_CACHE`` names."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("tlm-edge"))
