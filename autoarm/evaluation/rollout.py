"""Run a policy through one episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoarm.evaluation.backend import Env
from autoarm.evaluation.failure import EpisodeTrace, failure_mode
from autoarm.evaluation.latency import LateAnswers
from autoarm.policies.protocol import Policy
from autoarm.results.result import EpisodeRow
from autoarm.suite.episodes import Episode
from gym_autoarm import spec
from gym_autoarm.env import check_actions
from gym_autoarm.scene import Scene
from gym_autoarm.scene_data import scene_changes

_LONGEST_ERROR: Final = 500
_PATHS: Final = ("grasp_path", "cube_path", "joint_path")


@dataclass(frozen=True)
class Rollout:
    """What came of an episode: its row, and the actions that were executed, `(steps, 6)`."""

    row: EpisodeRow
    actions: NDArray[np.float64]


def rollout(env: Env, policy: Policy, episode: Episode, table: Scene | None = None) -> Rollout:
    """Run one episode. What the policy raises, and actions that must not reach the motors, end it with an error.

    Args:
        env: An environment of any frame size; `cameras=False` will do for a policy that does not look.
        policy: Asked for a chunk, which is executed whole, again and again; where the episode has a latency, late and
            in parts, as `autoarm.evaluation.latency` says.
        episode: Where to start.
        table: The same scene as a real table shows it, if that is another.
    """
    scene = episode.scene if table is None else table
    observation, info = env.reset(seed=episode.seed, options={"scene": scene})
    track = [info]
    executed: list[NDArray[np.float64]] = [np.empty((0, len(spec.JOINTS)))]
    late = None
    if episode.latency is not None:
        is_cut = not getattr(policy, "decides_once", False)
        late = LateAnswers(episode.latency, observation["agent_pos"], is_cut)
    done, error = False, None
    try:
        policy.reset(episode.seed, info)
    except Exception as problem:
        error = _describe(problem)
    while not done and error is None:
        try:
            actions = check_actions(policy.act(observation, info))
        except Exception as problem:
            error = _describe(problem)
            break
        if late is not None:
            actions = late.take(actions)
        # A frame is drawn only here, at the end of the chunk.
        observation, _, terminated, truncated, info = env.step_chunk(actions)
        executed.append(actions[: info["steps"]])
        track.append(info)
        done = terminated or truncated
    taken = np.concatenate(executed)
    grasp, cube, joints = (np.concatenate([each[name] for each in track]) for name in _PATHS)
    success = bool(info["is_success"]) and error is None
    row = EpisodeRow(
        group=episode.group,
        level=episode.level,
        index=episode.index,
        seed=episode.seed,
        scene=scene_changes(episode.scene),
        latency=episode.latency,
        success=success,
        stage=info["stage"],
        steps=len(taken),
        closest=None if np.isnan(cube).any() else closest_approach(grasp, cube),
        path_length=None if np.isnan(grasp).any() else path_length(grasp),
        jerk=mean_squared_jerk(joints[:, spec.ARM]),
        failure=None if success else failure_mode(EpisodeTrace(info["stage"], grasp, cube, scene, error is not None)),
        error=error,
    )
    return Rollout(row, taken)


def closest_approach(grasp: NDArray[np.floating], cube: NDArray[np.floating]) -> float:
    """Smallest distance between two paths `(n, 3)` at the same time."""
    offset = np.asarray(grasp, np.float64) - np.asarray(cube, np.float64)
    return float(np.linalg.norm(offset, axis=1).min())


def path_length(path: NDArray[np.floating]) -> float:
    """Length of a path through the points `(n, 3)`."""
    return float(np.linalg.norm(np.diff(np.asarray(path, np.float64), axis=0), axis=1).sum())


def mean_squared_jerk(path: NDArray[np.floating], rate: float = spec.FPS) -> float | None:
    """Mean over time and columns of the squared third derivative of a path `(n, d)` sampled `rate` times a second.

    In the path's unit squared, per s^6; None for fewer than the four samples that a third difference takes.
    """
    jerk = np.diff(np.asarray(path, np.float64), 3, axis=0) * rate**3
    return float(np.square(jerk).mean()) if len(jerk) else None


def _describe(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"[:_LONGEST_ERROR]
