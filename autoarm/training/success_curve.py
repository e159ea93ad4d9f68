"""Success against training step, measured on the way, and the checkpoint that did best.

OUT/success.json   the points measured so far
OUT/success.png    the same as a figure
OUT/best_model/    the checkpoint with most successes; of equals, the later one
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from autoarm.figures.style import POLICY_COLOURS, new_figure, save_figure
from autoarm.runtime.files import read_json, replace_folder, write_text
from autoarm.statistics.proportions import wilson_interval
from autoarm.training.checkpoint import POLICY_FOLDER, POLICY_MARK
from autoarm.training.trainer import Trainer
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.strict import StrictModel

FILE: Final = "success.json"
BEST_FOLDER: Final = "best_model"

Measure = Callable[[Path], tuple[int, int]]
"""From a checkpoint to successes and episodes."""


class Point(StrictModel):
    """What a checkpoint did."""

    step: int
    successes: int
    episodes: int


class SuccessCurve(StrictModel):
    """What the checkpoints of a run did, in order."""

    points: tuple[Point, ...] = ()

    @property
    def best(self) -> Point:
        """The point with most successes; of equals, the last."""
        return max(self.points, key=lambda point: (point.successes / point.episodes, point.step))


def run_measured(trainer: Trainer, out: Path, every: int, measure: Measure, **options: Any) -> Path:
    """Train to the end, measuring the checkpoint every so many steps and at the end.

    Args:
        trainer: The run.
        out: Its folder.
        every: Steps between measurements.
        measure: Runs a checkpoint on scenes of its own; always the same ones.
        options: What `Trainer.run` takes besides.

    Returns:
        The folder of the last checkpoint.

    Raises:
        InvalidInputError: If `every` is no number of steps.
    """
    if every < 1:
        raise InvalidInputError(f"every {every} steps", field="eval_every", cure="at least 1")
    path = out / FILE
    curve = (
        read_json(SuccessCurve, path, "delete it, and training measures again") if path.is_file() else SuccessCurve()
    )
    steps, checkpoint = trainer.total_steps, out / POLICY_FOLDER
    while True:
        known = {point.step for point in curve.points}
        due = trainer.step > 0 and (trainer.step % every == 0 or trainer.step == steps)
        if due and trainer.step not in known:
            # Training goes on with the random numbers that it would have had without.
            with torch.random.fork_rng(devices=[]):
                successes, episodes = measure(checkpoint)
            point = Point(step=trainer.step, successes=successes, episodes=episodes)
            curve = SuccessCurve(points=(*curve.points, point))
            if curve.best == point:
                copy = partial(shutil.copytree, checkpoint, dirs_exist_ok=True)
                replace_folder(out / BEST_FOLDER, copy, POLICY_MARK)
            write_text(path, curve.model_dump_json(indent=1) + "\n")
            _draw(curve, out / "success")
        if trainer.step >= steps:
            return checkpoint
        trainer.run(until=min(steps, (trainer.step // every + 1) * every), **options)


def _draw(curve: SuccessCurve, stem: Path) -> None:
    intervals = [wilson_interval(point.successes, point.episodes) for point in curve.points]
    rows = [
        {
            "step": point.step,
            "successes": point.successes,
            "episodes": point.episodes,
            "low": each.low,
            "high": each.high,
        }
        for point, each in zip(curve.points, intervals, strict=True)
    ]
    steps = [point.step for point in curve.points]
    rates = [point.successes / point.episodes for point in curve.points]
    with new_figure(6.0, 3.4) as figure:
        axes = figure.add_subplot()
        axes.fill_between(
            steps, [each.low for each in intervals], [each.high for each in intervals], alpha=0.2, linewidth=0
        )
        axes.plot(steps, rates, marker="o", color=POLICY_COLOURS[0])
        axes.axvline(curve.best.step, color=POLICY_COLOURS[1], linestyle=":")
        axes.set(xlabel="training step", ylabel="success", ylim=(0, 1), title="Success while training, 95 % intervals")
        axes.grid(axis="y")
        save_figure(figure, stem, rows)
