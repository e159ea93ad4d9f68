"""Episodes to run: where each starts, and how a run of them is drawn from a distribution of scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from autoarm.results.result import Latency
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rng import stream
from gym_autoarm.sampling import SceneDistribution
from gym_autoarm.scene import Scene

EVERYWHERE: Final = "everywhere"
"""The group of episodes whose cube may lie anywhere in the work area."""


Key = tuple[str, str, int, int]
"""Group, level, number and seed: which episode of a run it is."""


@dataclass(frozen=True)
class Episode:
    """One episode to run: a member of a group, its seed, the scene it starts from, and its level in the group.

    `latency` says how late the policy's answers come; `None` is at once.
    """

    group: str
    index: int
    seed: int
    scene: Scene
    level: str = ""
    latency: Latency | None = None

    @property
    def key(self) -> Key:
        """The `key` of its row."""
        return self.group, self.level, self.index, self.seed


def plan_episodes(distribution: SceneDistribution, episodes: int, seed: int) -> list[Episode]:
    """The episodes of a run: group by group, each scene a function of `seed`, its group and its number in it alone.

    Raises:
        InvalidInputError: If there would be none.
    """
    if episodes < 1:
        raise InvalidInputError(f"{episodes} episodes measure nothing", field="episodes", cure="at least 1")
    if seed < 0:
        raise InvalidInputError(f"{seed} is no seed", field="seed", cure="choose 0 or more")
    groups = distribution.spots if distribution.cube == "spots" else (EVERYWHERE,)
    planned = []
    for place, group in enumerate(groups):
        # The first groups take one more where the episodes do not divide evenly.
        for index in range(episodes // len(groups) + (place < episodes % len(groups))):
            episode_seed = int(stream(seed, "episode", group, index).integers(2**32))
            scene = distribution.sample(episode_seed, None if group == EVERYWHERE else group)
            planned.append(Episode(group, index, episode_seed, scene))
    return planned
