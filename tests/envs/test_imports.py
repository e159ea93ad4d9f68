"""Importing the simulation costs no more than it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

USE = """
import gymnasium as gym
env = gym.make("gym_autoarm:gym_autoarm/PickIntoBox-v0", cameras=False)
env.reset(seed=0)
env.step(env.action_space.sample())
"""


def modules(code: str) -> set[str]:
    """What is imported after `code` ran in a process of its own."""
    show = "\nimport sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code + show], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", ["import gym_autoarm", USE], ids=["import", "use"])
def test_no_learning_framework_is_imported(code: str) -> None:
    found = modules(code)
    assert "gym_autoarm" in found
    assert not {"torch", "torchvision", "lerobot", "transformers", "pandas", "matplotlib", "sklearn"} & found


def test_registration_needs_no_physics() -> None:
    # Whoever only wants the id, or the contract, does not wait for MuJoCo.
    assert "mujoco" not in modules("import gym_autoarm, gym_autoarm.spec")
