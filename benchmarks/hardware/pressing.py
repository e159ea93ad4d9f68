"""How hard does an arm press on the table when a policy sends it into the table? With and without its limits.

The goal is 40 degrees of the shoulder further down, 15 cm below the table. Bus, servos and physics are the twin's, on a
simulated clock, behind LeRobot's driver.

Example: python benchmarks/hardware/pressing.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from ends import forces_on

from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.operator import Callbacks
from autoarm_hardware.servos import Limits, ServoError
from autoarm_hardware.twin.device import Settings
from autoarm_hardware.twin.lockstep import LockstepTwin
from gym_autoarm.kinematics import ArmKinematics, GraspPose

_SIZE: Final = (48, 64)
_STEPS: Final = 90
_FREE: Final = 1e4
LIMITS: Final = {
    "neither floor nor speed": Limits(floor=None, speed=_FREE),
    "speed": Limits(floor=None),
    "speed and floor, the default": Limits(),
    "a floor at the table's height": Limits(floor=0.0),
}


def press(limits: Limits) -> tuple[float, float, float, str]:
    """Largest and last force on the table, N, seconds, and how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        twin = LockstepTwin(Path(folder), Settings(image_size=_SIZE), cameras=False)
        env = PickIntoBoxEnv(
            robot=twin.robot, image_size=_SIZE, clock=twin.line, operator=Callbacks(), limits=limits, park=False
        )
        body, forces = twin.arm.body, [0.0]
        try:
            env.reset(seed=0)
            body.place_cube(2.0, 2.0, 0.0)
            above = np.append(ArmKinematics().inverse(GraspPose((0.22, 0.03, 0.06))), 30.0)
            assert env._guard is not None
            env._mover.go(env._guard, above, env._links)
            advance = twin.line._advance

            def witness(seconds: float) -> None:
                advance(seconds)
                forces.append(forces_on(body.model, body.data).get("world", 0.0))

            twin.line._advance = witness
            start = twin.line.now()
            goal = above + np.array([0.0, 40.0, 0.0, 0.0, 0.0, 0.0])
            try:
                for _ in range(_STEPS):
                    env.step(goal.astype(np.float32))
                end = "went on"
            except ServoError as error:
                end = error.message
            return max(forces), float(np.median(forces[-100:])), twin.line.now() - start, end
        finally:
            env.close()


def main() -> None:
    """Print the forces."""
    for name, limits in LIMITS.items():
        most, last, seconds, end = press(limits)
        print(f"{name}: {most:.0f} N at most, {last:.0f} N in the end, after {seconds:.1f} s: {end}")


if __name__ == "__main__":
    main()
