"""How every process makes its own copy of a policy and of the environment that it acts in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoarm.evaluation.backend import REAL_ENV_ID, Env, Robot, describe_robot
from autoarm.policies.loading import load_policy
from autoarm.policies.protocol import Policy
from autoarm.results.platform import describe_platform
from autoarm.results.result import Platform
from gym_autoarm import ENV_ID, spec
from gym_autoarm.env import PickIntoBoxEnv


@dataclass(frozen=True)
class PolicySource:
    """A policy, and where it acts.

    Attributes:
        policy: What `load_policy` takes, or a policy; for several processes one that can be pickled.
        dataset: Folder of demonstrations, for the baselines that are made from them.
        device: Torch device of a checkpoint.
        image_size: Height and width of the frames that the policy sees.
        time_limit: Steps before an episode is truncated.
        robot: A real arm; without one the arm is simulated.
    """

    policy: str | Policy
    dataset: Path | None = None
    device: str = "cpu"
    image_size: tuple[int, int] = spec.IMAGE_SIZE
    time_limit: int = spec.TIME_LIMIT
    robot: Robot | None = None

    def load(self) -> Policy:
        """The policy itself, or the one that a reference names; see `load_policy`."""
        if isinstance(self.policy, str):
            return load_policy(self.policy, self.dataset, self.device, self.image_size)
        return self.policy

    def make_env(self, cameras: bool) -> Env:
        """The environment; `cameras` says whether the simulated one draws frames at all."""
        if self.robot is not None:
            env: Env = self.robot.make_env(image_size=self.image_size, time_limit=self.time_limit)
            return env
        return PickIntoBoxEnv(self.image_size, cameras, time_limit=self.time_limit)

    def describe_platform(self, policy: Policy) -> Platform:
        """The platform on which `policy` is measured."""
        if self.robot is None:
            return describe_platform(gl=policy.needs_images)
        return describe_platform(gl=False).model_copy(update={"body": describe_robot(self.robot)})

    @property
    def env_id(self) -> str:
        """Gymnasium's name of the environment."""
        return ENV_ID if self.robot is None else REAL_ENV_ID
