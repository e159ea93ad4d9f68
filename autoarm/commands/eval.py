"""`autoarm eval`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from autoarm.commands.arguments import DatasetFolder, PolicyName
from autoarm.commands.as_json import print_json, result_data
from autoarm.commands.measured_scene import MeasuredScene
from autoarm.commands.next_step import next_step
from autoarm.commands.progress import progress_bar, resumable
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

if TYPE_CHECKING:
    from rich.table import Table

    from autoarm.policies.protocol import Policy
    from autoarm.results.result import Interval, Result


@dataclass
class Eval:
    """Measure how often a policy puts the cube in the box.

    With --out, a run that was interrupted goes on by the same command.

    Example: autoarm eval outputs/act-five-spots --episodes 50 --cube everywhere --out outputs/everywhere.json
    """

    policy: tyro.conf.Positional[PolicyName]
    """A checkpoint folder, a baseline (expert, random, no-op, replay, nearest, nearest-state, nearest-image, rbf,
    position-fed, blind:CHECKPOINT), a shipped policy, or module:Class."""
    episodes: int = 50
    """Episodes in all."""
    seed: int = 0
    """Random seed; the same seed gives every policy the same scenes."""
    cube: Literal["spots", "everywhere"] = "spots"
    """Where the cube lies: at the five training spots, or anywhere in the work area."""
    out: Path | None = None
    """File for the result (JSON)."""
    dataset: DatasetFolder | None = None
    """Folder of demonstrations, for the baselines that are made from them."""
    videos: Path | None = None
    """Folder for a video of each group's first success and first failure."""
    workers: int = 1
    """Processes; the result is the same for any number."""
    ray: str | None = None
    """Run in a Ray cluster: `auto`, or its address."""
    image_size: tuple[int, int] = spec.IMAGE_SIZE
    """Height and width of the frames."""
    time_limit: int = spec.TIME_LIMIT
    """Steps before an episode is given up."""
    device: str = "cpu"
    """Torch device of a checkpoint, such as cpu or cuda."""
    ood: Path | None = None
    """Detector that `autoarm interp ood` fitted to this policy: says, once an episode, when what it sees is unlike its
    training data."""
    body: Literal["sim", "real"] = "sim"
    """The simulated arm, or a real one."""
    robot: Path | None = None
    """With --body real: the arm's file (YAML), which also says how large frames are. `autoarm twin --dir DIR` writes
    DIR/robot.yaml."""
    json: bool = False
    """Print JSON instead of a table."""
    scene: MeasuredScene = field(default_factory=MeasuredScene)

    def run(self) -> int:
        """Evaluate, print the table and write the result."""
        from rich.console import Console

        from autoarm.evaluation.backend import choose_robot
        from autoarm.evaluation.evaluate import evaluate
        from autoarm.runtime.files import check_writable
        from gym_autoarm.sampling import SceneDistribution

        if self.videos is not None:
            check_writable(self.videos / "video.mp4")
        robot = choose_robot(self.body, self.robot)
        if robot is not None and self.scene:
            raise InvalidInputError("is for the simulated arm", field="scene", cure="the robot's file names cameras")
        image_size = self.image_size
        if robot is not None:
            if image_size not in (spec.IMAGE_SIZE, robot.image_size):
                raise InvalidInputError(
                    f"{image_size}, and the robot's cameras give {robot.image_size}",
                    field="image-size",
                    cure="leave it out: the robot's file says it",
                )
            image_size = robot.image_size
        policy: str | Policy = self.policy
        if self.ood is not None:
            from autoarm.interp.ood.watched_policy import WatchedPolicy

            policy = WatchedPolicy(self.policy, self.ood, self.device, image_size)
        console = Console(stderr=True)
        with progress_bar(self.policy, console) as advance, resumable(self.out, console):
            result = evaluate(
                policy,
                distribution=SceneDistribution(cube=self.cube, base=self.scene.load()),
                episodes=self.episodes,
                seed=self.seed,
                dataset=self.dataset,
                device=self.device,
                image_size=image_size,
                time_limit=self.time_limit,
                workers=self.workers,
                ray=self.ray,
                videos=self.videos,
                progress=advance,
                on_retry=lambda task, reason: console.print(f"episode {task} again: {reason}", markup=False),
                command=["autoarm", *sys.argv[1:]],
                robot=robot,
                out=self.out,
            )
        code = int(any(row.error is not None for row in result.rows))
        if self.json:
            print_json(result_data(result, self.out))
            return code
        console = Console()
        console.print(result_table(result))
        for row in result.rows:
            if row.error is not None:
                console.print(f"seed {row.seed}: {row.error}", markup=False, style="red")
        if self.out is not None:
            console.print(f"result: {self.out}", markup=False, highlight=False)
        next_step("bench", self.policy, "--suite", "five-spots-v2", "--size", "quick", "--out", "outputs/bench.json")
        return code


def result_table(result: Result) -> Table:
    """Successes, their interval, and, where that is known, how many episodes reached each stage; a row a group."""
    from rich.table import Table

    body = result.platform.body
    where = f", arm {result.setting.simulated_arm}" if body is None else f", {body}"
    table = Table(title=f"{result.policy.name}: {result.overall.episodes} episodes, seed {result.setting.seed}{where}")
    table.add_column("cube at")
    # A real arm does not know how far it came.
    stages = spec.STAGES[1:] if body is None else ()
    for heading in ("success", "rate", "95 % interval", *stages):
        table.add_column(heading, justify="right")
    for group, interval in result.groups.items():
        table.add_row(group, *_cells(interval, [row.stage for row in result.rows if row.group == group], stages))
    if len(result.groups) > 1:
        table.add_section()
        table.add_row("all", *_cells(result.overall, [row.stage for row in result.rows], stages), style="bold")
    return table


def _cells(interval: Interval, reached_by: Sequence[str], stages: Sequence[str]) -> list[str]:
    reached = [sum(spec.STAGES.index(each) >= spec.STAGES.index(stage) for each in reached_by) for stage in stages]
    return [
        f"{interval.successes}/{interval.episodes}",
        f"{interval.rate:.0%}",
        f"{interval.low:.0%} to {interval.high:.0%}",
        *(str(count) for count in reached),
    ]
