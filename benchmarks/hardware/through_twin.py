"""Do driver, bus and servos change what the arm does?

The scripted expert, and if one is named a policy, run the same episodes in the simulated environment and in the real
one on a twin: LeRobot's driver, Feetech's protocol, the servos' firmware, the same physics. On the virtual line that
is exact and takes no longer than it must; through a pseudo-terminal (`--serial`) it takes as long as on an arm, or
`--speed` times less, and says how steady the control loop was.

Example: python benchmarks/hardware/through_twin.py --episodes 40
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.progress import track

from autoarm.policies.loading import load_policy
from autoarm.policies.protocol import Policy
from autoarm.statistics.proportions import wilson_interval
from autoarm_hardware.env import PickIntoBoxEnv
from autoarm_hardware.twin.device import Arm, Settings, Twin
from autoarm_hardware.twin.lockstep import LockstepTwin
from autoarm_hardware.twin.table import SimulatedOperator
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv as SimulatedEnv
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene


@dataclass
class Arguments:
    """Compare the simulated environment with the twin."""

    episodes: int = 40
    """Number of episodes of the expert (cube anywhere) and of the policy (cube at the spots)."""
    policy: str | None = None
    """A policy to run as well, as `autoarm eval` takes it."""
    serial: bool = False
    """Whether to use a pseudo-terminal in real time instead of the virtual line."""
    speed: float = 1.0
    """With `--serial`: simulated seconds per second of real time."""
    seed: int = 0
    """Seed of the first episode."""
    device: str = "cpu"
    """PyTorch device of the policy."""


class TwinClock:
    """A running twin's simulated clock, which keeps pace with its physics, however busy the machine is."""

    def __init__(self, arm: Arm, speed: float) -> None:
        self._arm, self._speed = arm, speed

    def now(self) -> float:
        """Simulated seconds."""
        return float(self._arm.body.data.time)

    def sleep(self, seconds: float) -> None:
        """Sleep briefly: the caller waits until the physics has come far enough."""
        time.sleep(min(seconds / self._speed, 0.002))


@contextmanager
def body(arguments: Arguments, cameras: bool) -> Iterator[PickIntoBoxEnv]:
    """The real environment on a twin."""
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.serial:
            twin = LockstepTwin(Path(folder), cameras=cameras)
            env = PickIntoBoxEnv(robot=twin.robot, clock=twin.line, operator=SimulatedOperator(twin.arm.body))
            yield env
            env.close()
            twin.close()
            return
        stop = threading.Event()
        # The real environment wants cameras: small ones for a policy that does not look.
        size = spec.IMAGE_SIZE if cameras else (48, 64)
        settings = Settings(speed=arguments.speed, image_size=size)
        with Twin(Path(folder) / "twin", settings) as served:
            server = threading.Thread(target=served.serve, args=(stop,))
            server.start()
            try:
                assert served.cameras is not None
                env = PickIntoBoxEnv(
                    port=str(served.folder.link("follower")),
                    cameras=served.cameras.configuration(),
                    image_size=size,
                    calibration_dir=served.folder.path / "calibration",
                    operator=SimulatedOperator(served.follower.body),
                    clock=None if arguments.speed == 1.0 else TwinClock(served.follower, arguments.speed),
                    retries=5,
                )
                yield env
                env.close()
            finally:
                stop.set()
                server.join()


def run(env: SimulatedEnv | PickIntoBoxEnv, policy: Policy, seed: int, scene: Scene) -> bool:
    """Run one episode; returns whether it was a success."""
    observation, info = env.reset(seed=seed, options={"scene": scene})
    policy.reset(seed, info)
    done = False
    while not done:
        observation, _, terminated, truncated, info = env.step_chunk(policy.act(observation, info))
        done = terminated or truncated
    return bool(info["is_success"])


def compare(console: Console, name: str, kind: Literal["everywhere", "spots"], arguments: Arguments) -> None:
    """Run a policy on both bodies, and print both rates."""
    policy = load_policy(name, device=arguments.device)
    distribution = SceneDistribution(cube=kind)
    scenes = [distribution.sample(arguments.seed + number) for number in range(arguments.episodes)]
    simulated = SimulatedEnv(cameras=policy.needs_images)
    plain = [
        run(simulated, policy, arguments.seed + number, scene)
        for number, scene in enumerate(track(scenes, f"{name}, simulated", console=console))
    ]
    simulated.close()
    through, start = [], time.perf_counter()
    with body(arguments, policy.needs_images) as env:
        for number, scene in enumerate(track(scenes, f"{name}, through the twin", console=console)):
            through.append(run(env, policy, arguments.seed + number, scene))
        timing = env.timing
    took = time.perf_counter() - start
    for where, successes in (("simulated", plain), ("through the twin", through)):
        low, high = wilson_interval(sum(successes), len(successes))
        rate = f"{sum(successes)}/{len(successes)}"
        console.print(f"{name}, {where}: {rate} (95 % interval {100 * low:.0f} to {100 * high:.0f} %)")
    same = sum(one == other for one, other in zip(plain, through, strict=True))
    console.print(
        f"same outcome in {same} of {len(scenes)}; {timing.steps / spec.FPS:.0f} s of the arm in {took:.0f} s"
    )
    console.print(f"control loop: {timing}")


def main() -> None:
    """Print the success rates and the timing of the control loop."""
    arguments = tyro.cli(Arguments, description=__doc__)
    console = Console()
    compare(console, "expert", "everywhere", arguments)
    if arguments.policy is not None:
        compare(console, arguments.policy, "spots", arguments)


if __name__ == "__main__":
    main()
