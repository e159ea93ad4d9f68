"""The environment for LeRobot's own commands: `--env.type=autoarm --env.discover_packages_path=autoarm.plugin`.

LeRobot imports this package and each of its modules to find what they register, and unpickles the class below in its
worker processes: importing it must be quick, free of side effects, and enough to register the environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE

import gym_autoarm
from gym_autoarm import spec

__all__ = ["AutoArmEnv"]


@EnvConfig.register_subclass("autoarm")
@dataclass
class AutoArmEnv(EnvConfig):  # type: ignore[misc]
    """`gym_autoarm/PickIntoBox-v0`, as LeRobot's commands configure it.

    Attributes:
        spots: Where the cube lies: `everywhere` in the work area, `five`, or names of spots joined by commas.
        episode_length: Steps before an episode is truncated.
        observation_height: Height of a frame, pixels.
        observation_width: Likewise.
    """

    task: str | None = "PickIntoBox-v0"
    fps: int = spec.FPS
    spots: str = "everywhere"
    episode_length: int = spec.TIME_LIMIT
    observation_height: int = spec.IMAGE_SIZE[0]
    observation_width: int = spec.IMAGE_SIZE[1]
    render_mode: str = "rgb_array"
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frame = (self.observation_height, self.observation_width, 3)
        joints = (len(spec.JOINTS),)
        self.features = {
            ACTION: PolicyFeature(FeatureType.ACTION, joints),
            "agent_pos": PolicyFeature(FeatureType.STATE, joints),
            **{f"pixels/{camera}": PolicyFeature(FeatureType.VISUAL, frame) for camera in spec.CAMERAS},
        }
        self.features_map = {
            ACTION: ACTION,
            "agent_pos": OBS_STATE,
            **{f"pixels/{camera}": f"{OBS_IMAGES}.{camera}" for camera in spec.CAMERAS},
        }

    @property
    def gym_id(self) -> str:
        """The id under which `gymnasium.make` finds it."""
        return gym_autoarm.ENV_ID

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """Arguments of the environment."""
        from autoarm.data.collect import parse_spots

        spots = parse_spots(self.spots)
        return {
            "image_size": (self.observation_height, self.observation_width),
            "distribution": {"cube": "spots", "spots": spots} if spots else {"cube": "everywhere"},
            "time_limit": self.episode_length,
            "render_mode": self.render_mode,
        }
