"""Where everything of the user's lies: runs, presets, queues. Imports nothing slow."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def home_directory() -> Path:
    """`$MFTUI_HOME`, else the user's data directory."""
    home = os.environ.get("MFTUI_HOME")
    return Path(home) if home else platformdirs.user_data_path("mftui", appauthor=False)
