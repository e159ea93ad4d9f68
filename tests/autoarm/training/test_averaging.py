"""The moving average of the weights that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from autoarm.training.averaging import WeightAverage
from autoarm.training.config import TrainConfig
from autoarm.training.trainer import Trainer
from gym_autoarm.errors import InvalidInputError


def test_it_is_the_average_that_one_computes_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(1.0)
    average = WeightAverage(layer, 0.5)
    expected = 1.0
    for step, weight in enumerate((2.0, 4.0, -1.0)):
        layer.weight.data.fill_(weight)
        average.update(step)
        remains = min(0.5, (1 + step) / (10 + step))
        expected = remains * expected + (1 - remains) * weight
        assert float(average.tensors()["weight"]) == pytest.approx(expected)
    with average.in_place():
        assert float(layer.weight.detach()) == pytest.approx(expected)
    assert float(layer.weight.detach()) == -1.0
    average.adopt()
    assert float(layer.weight.detach()) == pytest.approx(expected)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_decay_that_is_none(decay: float) -> None:
    with pytest.raises(InvalidInputError, match="of the average remains"):
        WeightAverage(nn.Linear(1, 1), decay)


def test_the_checkpoint_holds_the_average_and_the_run_goes_on_with_the_last_weights(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    averaged = replace(two_phases, average=0.9)
    plain, run = make_trainer(tmp_path / "plain", two_phases), make_trainer(tmp_path / "averaged", averaged)
    plain.run(until=2)
    checkpoint = run.run(until=2)
    last = run.policy.state_dict()
    assert all(torch.equal(value, last[name]) for name, value in plain.policy.state_dict().items())
    kept = load_file(checkpoint / "model.safetensors")
    name = "model.action_head.weight"
    assert not torch.equal(kept[name], last[name])
    # From the phase's end on, the average is what training goes on with.
    run.run(until=3)
    kept = load_file(checkpoint / "model.safetensors")
    assert torch.equal(kept[name], run.policy.state_dict()[name])


@pytest.mark.parametrize("until", [2, 3, 5])
def test_a_run_with_an_average_continues_to_the_same_checkpoint(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer], until: int
) -> None:
    averaged = replace(two_phases, average=0.9)
    whole = make_trainer(tmp_path / "whole", averaged).run()
    make_trainer(tmp_path / "parts", averaged).run(until=until)
    parts = make_trainer(tmp_path / "parts", averaged).run()
    one, other = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
