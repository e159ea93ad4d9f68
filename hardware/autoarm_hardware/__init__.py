"""The real arm behind the contract of `gym_autoarm`, and its twin."""

from __future__ import annotations

from gymnasium.envs.registration import register

import gym_autoarm  # noqa: F401  # chooses the OpenGL backend, before any module here imports MuJoCo

ENV_ID = "autoarm_hardware/PickIntoBox-v0"

register(id=ENV_ID, entry_point="autoarm_hardware.env:PickIntoBoxEnv")
