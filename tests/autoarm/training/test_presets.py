"""The presets, and how options change them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoarm.training.new_policy import policy_config
from autoarm.training.presets import PRESETS, preset
from gym_autoarm.errors import InvalidInputError


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_lerobots_configurations(name: str) -> None:
    config = policy_config(preset(name), "cpu")
    assert 1 <= config.n_action_steps <= len(config.action_delta_indices)


def test_a_preset_is_changed_phase_by_phase() -> None:
    config = preset("cpu", (10, 20), (4, 8), policy={"chunk_size": "100", "feedforward_activation": "gelu"}, seed=None)
    assert [(phase.steps, phase.batch_size) for phase in config.phases] == [(10, 4), (20, 8)]
    assert config.policy["chunk_size"] == 100
    assert config.policy["feedforward_activation"] == "gelu"
    assert [phase.backbone for phase in preset("cpu", (0, 5)).phases] == ["frozen"]
    assert [config.phase_at(step)[1] for step in (0, 9, 10, 29)] == [0, 0, 10, 10]
    changed = preset("cpu", augmentation={"shift": 2, "state_dropout": None}).augmentation
    assert changed == replace(preset("cpu").augmentation, shift=2)
    with pytest.raises(InvalidInputError, match="one number for each of the preset's 2 phases"):
        preset("cpu", (10,))
    with pytest.raises(InvalidInputError, match="no step is left"):
        preset("cpu", (0, 0))


def test_an_unknown_preset() -> None:
    with pytest.raises(InvalidInputError, match="choose from cpu, cpu-diffusion, full"):
        preset("gpu")
