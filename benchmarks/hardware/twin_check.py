"""Does `autoarm twin-check --fit` find the gains of an arm whose gains are known?

Twins of several gains are driven by LeRobot's driver through Feetech's protocol, in simulated time: the real
environment with its guard replays a trajectory on each, and the fit begins from the default gains.

Example: python benchmarks/hardware/twin_check.py --trajectory steps
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import tyro
from rich.console import Console
from rich.table import Table

from autoarm.system_id.fit import fit
from autoarm.system_id.response import Nobody, replay
from autoarm.system_id.trajectory import Recording, Trajectory, expert_trajectory, step_trajectory
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.twin.device import Settings
from autoarm_hardware.twin.lockstep import LockstepTwin
from gym_autoarm.scene import Body, Scene
from gym_autoarm.servo import PRESETS, ServoGains

BODIES: Final = {
    "the default gains": Body(),
    "so100-soft, late": Body(PRESETS["so100-soft"], latency=1),
    "soft, late, with play": Body(ServoGains(kp=60.0, kv=1.2), latency=2, backlash=1.0),
    "stiff, with play": Body(ServoGains(kp=400.0, kv=4.0), backlash=0.5),
}
_SIZE: Final = (48, 64)


@dataclass
class Arguments:
    """Fit twins with known gains."""

    trajectory: Literal["expert", "steps"] = "steps"
    """The trajectory that the twins follow."""


def record(body: Body, trajectory: Trajectory) -> Recording:
    """Record the trajectory of a twin with a body."""
    with tempfile.TemporaryDirectory() as folder:
        scene = trajectory.scene(Scene(body=body))
        twin = LockstepTwin(Path(folder), Settings(scene=scene, image_size=_SIZE), cameras=False)
        env = PickIntoBoxEnv(
            robot=twin.robot, clock=twin.line, operator=Nobody(ask=False), image_size=_SIZE,
            time_limit=len(trajectory.actions) + 1,
        )  # fmt: skip
        try:
            return replay(env, trajectory)
        finally:
            env.close()
            twin.close()


def main() -> None:
    """Print the fitted values beside the true ones."""
    arguments = tyro.cli(Arguments, description=__doc__)
    trajectory = step_trajectory() if arguments.trajectory == "steps" else expert_trajectory()
    console = Console(width=140)
    table = Table(title=f"{trajectory.name}: true value, then the fit's", title_justify="left")
    for title in ("twin", "kp", "kv", "latency", "backlash", "error before", "fitted", "simulations", "seconds"):
        table.add_column(title)
    for name, body in BODIES.items():
        recording = record(body, trajectory)
        start = time.perf_counter()
        with console.status(name):
            found = fit(recording)
        took = time.perf_counter() - start
        gains, ours = body.gains, found.body
        table.add_row(
            name,
            f"{gains.kp:.1f}  {ours.gains.kp:.1f} (x/ {found.doubt['kp']:.2f})",
            f"{gains.kv:.2f}  {ours.gains.kv:.2f} (x/ {min(found.doubt['kv'], 99):.2f})",
            f"{body.latency}  {ours.latency}",
            f"{body.backlash:.2f}  {ours.backlash:.2f} (+- {found.doubt['backlash']:.2f})",
            f"{found.before:.2f}",
            f"{found.after:.2f}",
            str(found.simulations),
            f"{took:.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
