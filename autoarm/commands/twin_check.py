"""`autoarm twin-check`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from autoarm.system_id.check import Check
    from autoarm.system_id.trajectory import Recording, Trajectory


@dataclass
class TwinCheck:
    """Compare an arm with its simulation on one trajectory, joint by joint, and fit the simulated servos to it.

    The trajectory is replayed on the arm of --robot, or what an arm did is read from a dataset, without an arm.

    Example: autoarm twin-check --robot my-arm.yaml --trajectory steps --fit --out outputs/twin-check
    """

    out: Path = Path("outputs/twin-check")
    """Folder for report.json, the figure joints.png, and with --fit body.yaml, which simulated scenes load."""
    robot: Path | None = None
    """The arm's file: replay on it. The table must be empty. `autoarm twin --dir DIR` writes DIR/robot.yaml."""
    trajectory: Literal["expert", "steps"] = "expert"
    """With --robot: the expert's motions, or quick steps of every joint, which show gains better."""
    spot: str = "centre"
    """Where the expert believes the cube to be: a name, or x:y in metres."""
    seed: int = 0
    """Random seed of the expert's style."""
    dataset: Path | None = None
    """Folder of recordings: one's actions are replayed with --robot, and its states are what the arm did without."""
    episode: int = 0
    """Which one of it."""
    body: Path | None = None
    """How the simulated arm answers: a file that --fit has written. The default gains if nothing is given."""
    fit: bool = False
    """Find stiffness, damping, latency and backlash with which the simulation answers as the arm did."""
    yes: bool = False
    """Do not ask whether the table is empty."""

    def run(self) -> int:
        """Compare, print the table, and write the folder."""
        from rich.console import Console

        from autoarm.runtime.files import check_writable
        from autoarm.system_id.check import check
        from autoarm.system_id.fit import fit
        from autoarm.system_id.report import REPORT, write_check
        from gym_autoarm.scene import Body
        from gym_autoarm.scene_files import load_body

        check_writable(self.out / REPORT)
        body = Body() if self.body is None else load_body(self.body)
        console = Console(stderr=True)
        recording = self._record(console)
        fitted = None
        if self.fit:
            with console.status("fitting") as status:
                fitted = fit(
                    recording,
                    body,
                    lambda count, error: status.update(f"fitting: {count} simulations, {error:.2f} degrees off"),
                )
        found = check(recording, body, fitted)
        _show(found)
        for path in write_check(self.out, found):
            print(path)
        return 0

    def _record(self, console: Console) -> Recording:
        from autoarm.system_id.trajectory import expert_trajectory, recorded, step_trajectory
        from gym_autoarm.errors import InvalidInputError

        recording = None if self.dataset is None else recorded(self.dataset, self.episode)
        if self.robot is None:
            if recording is None:
                raise InvalidInputError(
                    "is missing", field="robot", cure="name an arm's file with --robot, or a recording with --dataset"
                )
            return recording
        if recording is not None:
            trajectory = recording.trajectory
        elif self.trajectory == "expert":
            trajectory = expert_trajectory(self.spot, self.seed)
        else:
            trajectory = step_trajectory()
        return self._replay(self.robot, trajectory, console)

    def _replay(self, file: Path, trajectory: Trajectory, console: Console) -> Recording:
        from autoarm.evaluation.backend import load_robot
        from autoarm.system_id.response import Nobody, replay
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
        env = robot.make_env(time_limit=len(trajectory.actions) + 1, success="operator", **changes)
        try:
            with _bar(console) as bar:
                task = bar.add_task(trajectory.name, total=len(trajectory.actions))
                recording = replay(env, trajectory, lambda done, wanted: bar.update(task, completed=done))
            console.print(f"control loop: {env.timing}")
        finally:
            env.close()
        return recording


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True)


def _show(check: Check) -> None:
    from rich.console import Console
    from rich.table import Table

    after = {each.joint: each for each in check.errors_fitted or ()}
    table = Table(title=f"arm against simulation: {check.recording.trajectory.name}", title_justify="left")
    table.add_column("joint")
    for title in ("rms", "most", "arm's lag", *(("rms, fitted", "most", "arm's lag") if after else ())):
        table.add_column(title, justify="right")
    for each in check.errors:
        cells = [each, *([after[each.joint]] if after else [])]
        table.add_row(
            each.joint,
            *(text for one in cells for text in (f"{one.rms:.2f}", f"{one.most:.2f}", _milliseconds(one.lag))),
        )
    Console().print(table)
    print("degrees; the gripper in hundredths of its range")
    if check.fit is not None:
        body, doubt = check.fit.body, check.fit.doubt
        print(f"root mean square, all joints: {check.fit.before:.2f}, fitted {check.fit.after:.2f}")
        print(f"stiffness kp: {body.gains.kp:.1f} N m/rad{_within(doubt['kp'])}")
        print(f"damping kv: {body.gains.kv:.2f} N m s/rad{_within(doubt['kv'])}")
        print(f"latency: {body.latency} control steps")
        print(f"backlash: {body.backlash:.2f} degrees, +- {doubt['backlash']:.2f}")


def _within(factor: float) -> str:
    return f", within a factor of {factor:.2f}" if factor < 3.0 else ", which this trajectory hardly shows"


def _milliseconds(lag: float) -> str:
    return "-" if lag != lag else f"{lag:.0f} ms"
