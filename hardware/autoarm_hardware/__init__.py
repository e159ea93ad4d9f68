"""The real arm behind the contract of `gym_autoarm`, and its twin."""

from __future__ import annotations

from gymnasium.envs.registration import register

ENV_ID = "autoarm_hardware/PickIntoBox-v0"

register(id=ENV_ID, entry_point="autoarm_hardware.env:PickIntoBoxEnv")
