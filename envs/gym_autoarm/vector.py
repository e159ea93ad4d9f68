"""Several environments in one process that share compiled models and GL contexts.

Gymnasium's own `sync` mode compiles the scene and opens a GL context once for every environment; its `async` mode
starts a process each. Here environments whose scenes are of equal structure share one of both, and what they return is
the same bit for bit. Physics is not threaded: rendering takes nearly all the time, and a software GL already spreads
it over the cores.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from gym_autoarm import spec
from gym_autoarm.env import Action, Observation, PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene_cache import SceneCache

_MOST_CONTEXTS: Final = 8
"""Most scene structures kept at a time; each may hold a GL context, of which drivers offer a limited number."""


class PickIntoBoxVectorEnv(SyncVectorEnv[Observation, Action]):
    """`num_envs` environments, made by `gymnasium.make_vec("gym_autoarm/PickIntoBox-v0", num_envs=...)`.

    Args:
        num_envs: Number of environments.
        autoreset_mode: When a finished environment starts again; see `gymnasium.vector.AutoresetMode`.
        kwargs: Arguments of `PickIntoBoxEnv`, the same for every environment.
    """

    def __init__(
        self, num_envs: int = 1, autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP, **kwargs: Any
    ) -> None:
        if num_envs < 1:
            raise InvalidInputError(f"{num_envs} environments", field="num_envs", cure="at least 1")
        image_size = kwargs.get("image_size", spec.IMAGE_SIZE)
        cache = SceneCache(image_size, capacity=min(num_envs, _MOST_CONTEXTS))
        super().__init__(
            [partial(PickIntoBoxEnv, **kwargs, scene_cache=cache)] * num_envs, autoreset_mode=autoreset_mode
        )
