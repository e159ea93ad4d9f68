"""`autoarm twin-check`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

    from autoarm.system_id.check import Check
    from autoarm.system_id.motion import Motion
    from autoarm.system_id.trajectory import Trajectory


@dataclass
class TwinCheck:
    """Compare an arm with its simulation, joint by joint, and fit the simulated servos to it.

    What an arm did is read from motions or from a dataset, or the arm of --robot moves now.

    Example: autoarm twin-check --motions recordings --fit --out outputs/twin-check
    """

    out: Path = Path("outputs/twin-check")
    """Folder for report.json and pictures; with --fit also split.json and body.yaml, which every --body takes."""
    motions: Path | None = None
    """Recordings as Parquet, a file or a folder: `t` in seconds, `<joint>.goal` and `<joint>.pos` in degrees."""
    dataset: Path | None = None
    """Folder of a LeRobotDataset of an SO-101: its actions are goals, its states are where the arm was."""
    episode: tuple[int, ...] = ()
    """Which of its episodes; all by default. With --robot the first of them is replayed on the arm."""
    units: Literal["degrees", "percent"] | None = None
    """What the dataset counts joints in, if it does not tell: degrees, or percent for -100 to 100."""
    free: bool = False
    """The dataset's gripper never holds anything: compare and fit it, too."""
    robot: Path | None = None
    """The arm's file: it moves now. The table must be empty. `autoarm twin --dir DIR` writes DIR/robot.yaml."""
    trajectory: Literal["expert", "steps"] = "expert"
    """With --robot: the expert's motions, or quick steps of every joint, which show servos better."""
    spot: str = "centre"
    """Where the expert believes the cube to be: a name, or x:y in metres."""
    body: str | None = None
    """The simulated arm to compare with, where a fit begins: a name or a file; so101-12v by default."""
    fit: bool = False
    """Find each joint's stiffness, viscous and dry friction, and the gripper's torque limit."""
    folds: int = 0
    """With --fit: cross-validate over so many folds of the recordings that are fitted."""
    seed: int = 0
    """Random seed: which recordings judge the fit, and the expert's style."""
    about: str = ""
    """What arm it is, for the body's file."""
    source: str = ""
    """Where the recordings come from, for the body's file."""
    yes: bool = False
    """Do not ask whether the table is empty."""

    def run(self) -> int:
        """Compare, print the tables, and write the folder."""
        from rich.console import Console

        from autoarm.runtime.files import check_writable
        from autoarm.system_id.check import check
        from autoarm.system_id.report import REPORT, write_check, write_split
        from autoarm.system_id.split import hold_out
        from gym_autoarm.body_files import DEFAULT_BODY, load_body

        check_writable(self.out / REPORT)
        body_name = self.body or DEFAULT_BODY
        body = load_body(body_name)
        console = Console(stderr=True)
        name, motions, notes = self._recordings(console)
        for note in notes:
            console.print(note, markup=False, highlight=False)
        names = sorted({motion.recording for motion in motions})
        held_out = hold_out(names, self.seed) if self.fit else ()
        if self.fit:
            print(write_split(self.out, [each for each in names if each not in held_out], held_out))
        with _counting(console) as progress:
            found = check(name, motions, held_out, Path(body_name).stem, body, self.fit, self.folds, progress)
        found = replace(found, notes=notes)
        _show(found)
        for path in write_check(self.out, found, self.about, self.source):
            print(path)
        return 0

    def _recordings(self, console: Console) -> tuple[str, list[Motion], list[str]]:
        """What to call the recordings, the recordings, and what is to be said of them."""
        from autoarm.system_id.arm_dataset import open_arm_dataset
        from autoarm.system_id.motion_files import read_motions
        from autoarm.system_id.trajectory import expert_trajectory, replayed, step_trajectory
        from gym_autoarm.errors import InvalidInputError

        if self.motions is not None:
            if self.robot is not None or self.dataset is not None:
                raise InvalidInputError("has an arm or a dataset beside it", field="motions", cure="give one of them")
            return self.motions.stem, *read_motions(self.motions)
        dataset = None if self.dataset is None else open_arm_dataset(self.dataset, self.units)
        if self.robot is None:
            if dataset is None:
                raise InvalidInputError(
                    "is missing",
                    field="robot",
                    cure="name an arm's file with --robot, or recordings with --motions or --dataset",
                )
            return dataset.folder.resolve().name, *dataset.motions(self.episode, self.free)
        if dataset is not None:
            trajectory = replayed(dataset, self.episode[0] if self.episode else dataset.episodes[0])
        elif self.trajectory == "expert":
            trajectory = expert_trajectory(self.spot, self.seed)
        else:
            trajectory = step_trajectory()
        return trajectory.name, [self._replay(self.robot, trajectory, console)], []

    def _replay(self, file: Path, trajectory: Trajectory, console: Console) -> Motion:
        from autoarm.evaluation.backend import load_robot
        from autoarm.runtime.bars import Bars
        from autoarm.system_id.on_arm import Nobody, follow, with_steps
        from gym_autoarm.errors import InvalidInputError

        robot = load_robot(file)
        if not robot.has_model:
            raise InvalidInputError(
                f"there is no simulation of a {robot.type}", file=file, field="type", cure="use an SO-101 or SO-100"
            )
        if robot.dry_run:
            raise InvalidInputError("nothing moves", file=file, field="dry_run", cure="take it from the robot's file")
        # A twin clears its table itself. By vision, the arm would move aside to look for the cube.
        changes = {} if robot.is_twin else {"operator": Nobody(ask=not self.yes)}
        limits = with_steps(robot.limits, trajectory)
        env = robot.make_env(time_limit=len(trajectory.actions) + 1, success="operator", limits=limits, **changes)
        try:
            with Bars(console=console, transient=True) as bar:
                task = bar.add_task(trajectory.name, total=len(trajectory.actions))
                motion = follow(env, trajectory, lambda done, wanted: bar.update(task, completed=done))
            console.print(f"control loop: {env.timing}")
        finally:
            env.close()
        return motion


@contextmanager
def _counting(console: Console) -> Iterator[Callable[[str, int], None]]:
    """What says how far the simulations are: nobody knows before how many a fit takes."""
    from autoarm.runtime.bars import Bars

    with Bars(console=console, transient=True) as bar:
        task = bar.add_task("getting ready", total=None)
        yield lambda stage, count: bar.update(task, description=stage, completed=count)


def _show(check: Check) -> None:
    from rich.console import Console

    from autoarm.system_id.tables import error_table, servo_table

    console = Console()
    console.print(error_table(check))
    if check.fit is not None:
        console.print(servo_table(check.fit))
    for number, fold in enumerate(check.folds, start=1):
        print(f"fold {number}: {', '.join(f'{each.joint} {each.rms:.2f}' for each in fold)}")
