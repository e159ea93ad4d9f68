"""What recording a policy's attention costs, beside the policy without it, on the same observations.

Run with `python benchmarks/speed/interp.py`. Cost is the processor time of the process, all threads, which a busy
machine disturbs less than the time on the clock; the ways take turns, and their ratios are medians over rounds.

- `every step`: the policy predicts a chunk at every step, with the recorder and without.
- `chunk replayed`: the policy hands out the actions of its chunk; the recorder repeats the chunk's attention.
- `forced`: the queue is emptied before every step, so that each one makes a forward pass, as a recorder must that
  watches forward passes alone.

With `--dataset`, how long the attention video of an episode takes, beside how long the episode lasts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from autoarm.commands.interp.loading import load_act
from autoarm.data.dataset import IMAGES, episode_views, joint_columns
from autoarm.interp.methods.attention_video import dataset_attention, write_video
from autoarm.interp.methods.recorder import record_attention
from autoarm.policies.lerobot import LeRobotPolicy
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv

TARGETS: Final = {"recorded, every step": 1.15, "recorded, chunk replayed": 0.1}


@dataclass(frozen=True)
class Options:
    """Measure what recording attention costs.

    Example: python benchmarks/speed/interp.py --json interp.json
    """

    policy: str = "act-five-spots"
    """A checkpoint folder of LeRobot's ACT, or a shipped policy."""
    rounds: int = 7
    """How often every way is measured."""
    steps: int = 10
    """Steps of a round."""
    json: Path | None = None
    """File for the numbers."""
    dataset: Path | None = None
    """LeRobotDataset folder, for the video of an episode."""
    frames: int = 300
    """Frames of the video; taken from several episodes where one has not so many."""


@dataclass(frozen=True)
class Cost:
    """Processor milliseconds a step, and the median over rounds of its ratio to the policy alone at every step."""

    way: str
    milliseconds: float
    ratio: float


@dataclass(frozen=True)
class Stage:
    """A part of making a video: seconds on the clock, and of the processor, all threads together."""

    name: str
    seconds: float
    processor: float


def video(policy: LeRobotPolicy, dataset: Path, count: int) -> list[Stage]:
    """Make the attention video of `count` frames of both cameras, stage by stage."""
    states, _, episode = joint_columns(dataset)
    last = int(episode[min(count, len(states)) - 1])
    stages: list[Stage] = []

    def timed[T](name: str, do: Callable[[], T]) -> T:
        clock, processor = time.perf_counter(), time.process_time()
        made = do()
        stages.append(Stage(name, time.perf_counter() - clock, time.process_time() - processor))
        return made

    with TemporaryDirectory() as folder:
        views = timed("decode", lambda: [episode_views(dataset, number) for number in range(last + 1)])
        # Not part of the time: one episode needs no putting together.
        frames = {camera: np.concatenate([each[camera] for each in views])[:count] for camera in IMAGES}
        track = timed("record", lambda: dataset_attention(policy, states[: len(frames["top"])], frames))
        timed("draw and compress", lambda: write_video(Path(folder) / "video.mp4", track, frames))
    return stages


def observations(policy: LeRobotPolicy, count: int) -> list[dict[str, Any]]:
    """What the policy is given in an episode in which the arm rests."""
    env = PickIntoBoxEnv()
    try:
        env.reset(seed=0)
        home = np.asarray(env.scene.start, np.float32)
        return [policy.batch(env.step(home)[0]) for _ in range(count)]
    finally:
        env.close()


def ways(policy: LeRobotPolicy, batches: list[dict[str, Any]]) -> dict[str, Callable[[], float]]:
    """Each measures one pass over the observations, in processor seconds a step."""
    act = policy.policy

    def predict() -> float:
        return _seconds(lambda batch: act.predict_action_chunk(dict(batch)), batches)

    def recorded() -> float:
        with record_attention(act, on_step=lambda step: None):
            return predict()

    def replayed(recording: bool) -> float:
        act.reset()
        if not recording:
            act.select_action(dict(batches[0]))  # which fills the queue; what follows is replayed
            return _seconds(lambda batch: act.select_action(dict(batch)), batches)
        with record_attention(act, every="chunk", on_step=lambda step: None):
            act.select_action(dict(batches[0]))
            return _seconds(lambda batch: act.select_action(dict(batch)), batches)

    def forced() -> float:
        def step(batch: dict[str, Any]) -> None:
            act.reset()
            act.select_action(dict(batch))

        with record_attention(act, on_step=lambda step: None):
            return _seconds(step, batches)

    return {
        "policy alone, every step": predict,
        "recorded, every step": recorded,
        "policy alone, chunk replayed": lambda: replayed(False),
        "recorded, chunk replayed": lambda: replayed(True),
        "forced": forced,
    }


def compare(policy: LeRobotPolicy, steps: int, rounds: int) -> list[Cost]:
    """Measure all ways in turns."""
    measured = ways(policy, observations(policy, min(steps, policy.policy.config.n_action_steps - 1)))
    with torch.inference_mode():
        for way in measured.values():
            way()  # first calls allocate
        seconds = {name: np.array([]) for name in measured}
        for _ in range(rounds):
            for name, way in measured.items():
                seconds[name] = np.append(seconds[name], way())
    alone = seconds["policy alone, every step"]
    return [Cost(name, 1e3 * float(np.median(each)), float(np.median(each / alone))) for name, each in seconds.items()]


def _seconds(step: Callable[[dict[str, Any]], object], batches: list[dict[str, Any]]) -> float:
    before = time.process_time()
    for batch in batches:
        step(batch)
    return (time.process_time() - before) / len(batches)


def main(options: Options) -> None:
    """Measure, print a table, and write the numbers where asked."""
    console = Console()
    costs = compare(load_act(options.policy), options.steps, options.rounds)
    table = Table(title=f"{options.policy}, {options.steps} steps, median of {options.rounds} rounds")
    for column in ("way", "CPU ms a step", "times the policy alone", "target"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for cost in costs:
        target = TARGETS.get(cost.way)
        table.add_row(
            cost.way,
            f"{cost.milliseconds:.2f}",
            f"{cost.ratio:.3f}",
            "" if target is None else f"at most {target:g}",
        )
    console.print(table)
    stages = [] if options.dataset is None else video(load_act(options.policy), options.dataset, options.frames)
    for stage in stages:
        console.print(f"{stage.name}: {stage.seconds:.1f} s, {stage.processor:.1f} s of the processor")
    if stages:
        lasts = options.frames / spec.FPS
        both = (sum(stage.seconds for stage in stages), sum(stage.processor for stage in stages))
        console.print(f"{lasts:.1f} s of video: {both[0]:.1f} s, {both[1]:.1f} s of the processor")
    if options.json is not None:
        from autoarm.runtime.files import write_text

        record = {
            "torch": torch.__version__,
            "policy": options.policy,
            "steps": options.steps,
            "rounds": options.rounds,
            "costs": [asdict(cost) for cost in costs],
            "video": [asdict(stage) for stage in stages],
        }
        write_text(options.json, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
