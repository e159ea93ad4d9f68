"""The surroundings that every test may rely on, under tox and under a plain `pytest` alike."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

# Before anything imports MuJoCo, Matplotlib or the Hub's client, which read them once.
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that reaches for the network fails, everywhere
# Two threads of one small matrix product wait for each other more than they work, the more so on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says only how busy the machine is.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Arms in real time come first: once all else was imported, collecting garbage stops a process for a second."""
    items.sort(key=lambda item: "hardware" not in item.path.parts)
