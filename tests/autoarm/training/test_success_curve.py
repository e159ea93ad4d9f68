"""Success measured while training, and the checkpoint that did best."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autoarm.commands.train import Train, scenes_of
from autoarm.training.config import TrainConfig
from autoarm.training.run import train
from autoarm.training.success_curve import BEST_FOLDER, FILE, Measure, run_measured
from autoarm.training.trainer import Trainer
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.sampling import SceneDistribution


def measure_as(successes: Sequence[int], seen: list[dict[str, torch.Tensor]]) -> Measure:
    """Stands in for episodes: takes random numbers, as a policy may, and says these successes of 10."""

    def measure(checkpoint: Path) -> tuple[int, int]:
        torch.rand(17)
        seen.append(load_file(checkpoint / "model.safetensors"))
        return successes[len(seen) - 1], 10

    return measure


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_best_checkpoint_is_kept(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    plain = make_trainer(tmp_path / "plain", two_phases).run()
    seen: list[dict[str, torch.Tensor]] = []
    run = make_trainer(tmp_path / "run", two_phases)
    last = run_measured(run, tmp_path / "run", 3, measure_as([2, 7, 5], seen))
    points = json.loads((tmp_path / "run" / FILE).read_text())["points"]
    assert [(point["step"], point["successes"]) for point in points] == [(3, 2), (6, 7), (8, 5)]
    assert same(weights(tmp_path / "run" / BEST_FOLDER), seen[1])
    # Measuring changes nothing of what is learnt.
    assert same(weights(last), weights(plain))
    assert (tmp_path / "run/success.png").stat().st_size > 5000
    assert sorted(path.name for path in (tmp_path / "run" / BEST_FOLDER).iterdir()) == sorted(
        path.name for path in last.iterdir()
    )


def test_it_goes_on_where_it_was_left(
    tmp_path: Path, two_phases: TrainConfig, make_trainer: Callable[..., Trainer]
) -> None:
    class Left(Exception): ...

    def leave(checkpoint: Path) -> tuple[int, int]:
        raise Left

    whole = make_trainer(tmp_path / "whole", two_phases).run()
    for _ in range(2):
        with pytest.raises(Left):
            run_measured(make_trainer(tmp_path / "run", two_phases), tmp_path / "run", 2, leave)
    seen: list[dict[str, torch.Tensor]] = []
    outcomes = [4, 4, 1, 4]
    last = run_measured(make_trainer(tmp_path / "run", two_phases), tmp_path / "run", 2, measure_as(outcomes, seen))
    assert same(weights(last), weights(whole))
    points = json.loads((tmp_path / "run" / FILE).read_text())["points"]
    assert [point["step"] for point in points] == [2, 4, 6, 8]
    assert same(weights(tmp_path / "run" / BEST_FOLDER), seen[3])  # of equals, the later one
    again = run_measured(make_trainer(tmp_path / "run", two_phases), tmp_path / "run", 2, leave)
    assert again == last


def test_no_number_of_steps(tmp_path: Path, make_trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(InvalidInputError, match="every 0 steps"):
        run_measured(make_trainer(tmp_path / "run"), tmp_path / "run", 0, lambda _: (0, 1))


def test_a_checkpoint_is_measured_in_simulation(
    tiny_dataset: Path, tmp_path: Path, small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    checkpoint = train(tiny_dataset, tmp_path / "run", replace(small_config), "cpu", quiet=True)
    command = Train((tiny_dataset,), tmp_path / "run", eval_every=1, eval_episodes=2, device="cpu")
    assert command._measure(checkpoint) == (0, 2)
    assert scenes_of(tmp_path) == SceneDistribution()
