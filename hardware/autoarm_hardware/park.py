"""`autoarm park`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Park:
    """Move an arm home, slowly, on a way that touches nothing, and release it there.

    For an arm that was left somewhere, by a program that was killed or by hand. It needs no cameras. The motors hold in
    the end if the robot's file says `release: false`.

    Example: autoarm park --robot my-arm.yaml
    """

    robot: Path
    """The robot's file (YAML)."""

    def run(self) -> int:
        from autoarm_hardware import signals
        from autoarm_hardware.arm import connect_bus, make_robot
        from autoarm_hardware.config import load_robot
        from autoarm_hardware.follower import describe
        from autoarm_hardware.links import links_among
        from autoarm_hardware.moving import Mover
        from autoarm_hardware.pacing import WallClock
        from autoarm_hardware.parking import park
        from autoarm_hardware.port import disconnect_bus
        from autoarm_hardware.safety import Guard
        from autoarm_hardware.watchdog import Home
        from gym_autoarm.errors import InvalidFileError

        config = load_robot(self.robot)
        robot = make_robot(config.type, config.port, config.id, config.calibration_dir)
        follower, scene = describe(robot, config.home), config.scene()
        if not follower.has_model:
            raise InvalidFileError(
                f"the links of a {config.type} are not known, nor is a way home",
                file=self.robot,
                field="type",
                cure="hold the arm, and switch it off with autoarm release",
            )
        links, clock = links_among(scene), WallClock()
        guard = None
        try:
            with signals.shield():  # or motors could be on, and nothing here that stops them
                connect_bus(robot, config.release, Home(tuple(follower.home.tolist()), links.height))
                guard = Guard(
                    robot.bus,
                    config.limits,
                    config.release,
                    retries=config.retries,
                    low=follower.low,
                    high=follower.high,
                    links=links,
                )
            with guard:
                guard.check()
                is_home = park(guard, Mover(follower, clock, config.limits.gap), follower, links)
        finally:
            disconnect_bus(robot)
        if is_home:
            print(f"The arm is home; its motors {'are off' if config.release else 'hold'}.")
        return 0 if is_home else 1
