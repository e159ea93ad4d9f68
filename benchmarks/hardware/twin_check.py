"""Does `autoarm twin-check --fit` find the servos of an arm whose servos are known?

Twins are driven by LeRobot's driver through Feetech's protocol, in simulated time: the real environment with its guard
follows a trajectory on each, and the fit begins from the default body.

Example: python benchmarks/hardware/twin_check.py --trajectory steps
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import tyro
from rich.console import Console
from rich.table import Table

from autoarm.system_id.check import compare
from autoarm.system_id.identify import identify
from autoarm.system_id.motion import Motion
from autoarm.system_id.on_arm import Nobody, follow
from autoarm.system_id.response import mean_rms
from autoarm.system_id.trajectory import Trajectory, expert_trajectory, step_trajectory
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.twin.device import Settings
from autoarm_hardware.twin.lockstep import LockstepTwin
from gym_autoarm import spec
from gym_autoarm.body import Body
from gym_autoarm.body_files import DEFAULT_BODY, shipped_body
from gym_autoarm.scene import Scene


def scaled(stiffness: float, damping: float, friction: float) -> Body:
    """The default body with other servos where gravity shows their stiffness, and other friction everywhere."""
    body = shipped_body(DEFAULT_BODY)
    servos = [
        replace(
            servo,
            kp=servo.kp * (stiffness if joint in ("shoulder_lift", "elbow_flex", "wrist_flex") else 1.0),
            damping=servo.damping * damping,
            frictionloss=servo.frictionloss * friction,
        )
        for joint, servo in zip(spec.JOINTS, body.servos, strict=True)
    ]
    return replace(body, servos=tuple(servos))


BODIES: Final = {
    "the default": scaled(1.0, 1.0, 1.0),
    "stiffer, rubs less": scaled(1.5, 1.0, 0.5),
    "softer, rubs more": scaled(0.8, 1.2, 1.4),
    "stiff, quick": scaled(3.0, 0.7, 1.0),
}
_SIZE: Final = (48, 64)


@dataclass
class Arguments:
    """Fit twins with known servos."""

    trajectory: Literal["expert", "steps"] = "steps"
    """The trajectory that the twins follow."""


def record(body: Body, trajectory: Trajectory) -> Motion:
    """What a twin with a body does."""
    with tempfile.TemporaryDirectory() as folder:
        scene = trajectory.scene(Scene(body=body))
        twin = LockstepTwin(Path(folder), Settings(scene=scene, image_size=_SIZE), cameras=False)
        env = PickIntoBoxEnv(
            robot=twin.robot, clock=twin.line, operator=Nobody(ask=False), image_size=_SIZE,
            time_limit=len(trajectory.actions) + 1,
        )  # fmt: skip
        try:
            return follow(env, trajectory)
        finally:
            env.close()
            twin.close()


def main() -> None:
    """Print the fitted values beside the true ones."""
    arguments = tyro.cli(Arguments, description=__doc__)
    trajectory = step_trajectory() if arguments.trajectory == "steps" else expert_trajectory()
    console = Console(width=140)
    table = Table(title=f"{trajectory.name}: true value, the fit's and its interval", title_justify="left")
    for title in ("twin", "joint", "kp", "damping", "dry friction", "error before", "fitted", "seconds"):
        table.add_column(title)
    usual = shipped_body(DEFAULT_BODY)
    for name, body in BODIES.items():
        motion = record(body, trajectory)
        start = time.perf_counter()
        with console.status(name):
            found = identify([motion], usual)
        took = time.perf_counter() - start
        errors = compare([motion], {"before": usual, "after": found.body}).errors
        ends = [f"{mean_rms(errors['before']):.2f}", f"{mean_rms(errors['after']):.2f}", f"{took:.0f}"]
        for joint, true, servo in zip(spec.JOINTS, body.servos, found.body.servos, strict=True):
            known = found.joints[joint].intervals
            cells = []
            for field in ("kp", "damping", "frictionloss"):
                width = f" ({known[field][0]:.3g} to {known[field][1]:.3g})" if field in known else ""
                cells.append(f"{getattr(true, field):.3g}  {getattr(servo, field):.3g}{width}")
            first = joint == spec.JOINTS[0]
            table.add_row(name if first else "", joint, *cells, *(ends if first else [""] * 3))
    console.print(table)


if __name__ == "__main__":
    main()
