"""Recorded episodes drawn again under other appearances: the same motions, on another table, under another lamp.

The states are computed anew from the recorded actions and must be the recorded ones: what differs is in the frames.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from autoarm.data.collect import Collected, assemble, new_collection
from autoarm.data.collection import CollectionSettings, EpisodeRecord, Restaged
from autoarm.data.dataset import Demonstration, demonstrations, read_collection
from autoarm.data.frames import dataset_digest
from autoarm.data.recording import UNFINISHED, create_dataset, finish_episode, frame, quiet, usual_workers
from autoarm.runtime.tasks import run_tasks
from gym_autoarm import ENV_ID
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.rng import keyed_stream
from gym_autoarm.scene import Scene
from gym_autoarm.scene_data import restore_scene
from gym_autoarm.variation import APPEARANCE, check_variations, vary

_AS_RECORDED: Final = 1e-3
"""Degrees by which a state may differ from the recorded one: another processor rounds differently."""


def restage(
    source: str | Path,
    out: str | Path,
    *,
    names: Sequence[str] = APPEARANCE,
    copies: int = 1,
    seed: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Collected:
    """Draw a simulated dataset again under random appearances, or go on where that was interrupted.

    Args:
        source: Folder of a dataset that was recorded in simulation.
        out: Folder of the new one; see `autoarm.data.collect.collect`.
        names: What is drawn at random, out of `gym_autoarm.variation.APPEARANCE`.
        copies: How many times each episode is drawn.
        seed: Seed of the appearances.
        workers: Processes that draw; one for each core, up to four, by default.
        on_progress: Called with the number of episodes drawn and wanted.

    Raises:
        InvalidInputError: If an option is wrong.
        InvalidFileError: If the source cannot be drawn again, or a folder is in the way.
    """
    collection = read_collection(source)
    for name in check_variations(names):
        if name not in APPEARANCE:
            raise InvalidInputError(
                f"{name!r} would change the motion", field="vary", cure=f"some of {', '.join(APPEARANCE)}"
            )
    if copies < 1:
        raise InvalidInputError(f"{copies} copies are no dataset", field="copies", cure="at least 1")
    if collection.env_id != ENV_ID:
        raise InvalidFileError("was not recorded in simulation", file=source, cure="only simulation can draw again")
    if collection.settings.restaged is not None:
        raise InvalidFileError("was itself drawn again", file=source, cure="give the dataset that it was made from")
    restaged = Restaged(sha256=dataset_digest(Path(source)), copies=copies, seed=seed)
    changes = {"restaged": restaged, "vary": check_variations((*collection.settings.vary, *names))}
    settings = collection.settings.model_copy(update=changes)
    processes = usual_workers() if workers is None else workers

    def record(folder: Path, todo: list[int]) -> Iterator[None]:
        start = partial(_Restager, Path(source), folder, settings, tuple(names))
        for _ in run_tasks(todo, start, workers=min(processes, len(todo))):
            yield

    collected = assemble(
        out, new_collection(settings, ENV_ID, collection.teleop), record, on_progress or (lambda done, wanted: None)
    )
    assert collected is not None
    return collected


class _Restager:
    """Draws one episode after another, each as a dataset of its own."""

    def __init__(self, source: Path, folder: Path, settings: CollectionSettings, names: Sequence[str]) -> None:
        self._source, self._folder, self._settings, self._names = source, folder, settings, names
        self._episodes = read_collection(source).episodes
        self._motions = demonstrations(source)
        self._env = PickIntoBoxEnv(image_size=settings.image_size)

    def __call__(self, index: int) -> None:
        copy, number = divmod(index, len(self._episodes))
        recorded, motion = self._episodes[number], self._motions[number]
        assert self._settings.restaged is not None
        drawn = keyed_stream(self._settings.restaged.seed, "restage", copy, number)
        scene = vary(restore_scene(recorded.scene), self._names, int(drawn.integers(2**32)))
        folder = self._folder / f"{UNFINISHED}{index:06d}-{os.getpid()}"
        with quiet():
            self._draw(folder, number, recorded.seed, scene, motion)
        record = EpisodeRecord(**{**recorded.model_dump(), "scene": asdict(scene)})
        finish_episode(folder, self._folder, index, record)

    def close(self) -> None:
        """Free the GL context."""
        self._env.close()

    def _draw(self, folder: Path, number: int, seed: int, scene: Scene, motion: Demonstration) -> None:
        dataset = create_dataset(folder, self._settings, len(motion.actions))
        observation, _ = self._env.reset(seed=seed, options={"scene": scene})
        for state, action in zip(motion.states, motion.actions, strict=True):
            off = float(np.abs(observation["agent_pos"] - state).max())
            if off > _AS_RECORDED:
                dataset.finalize()
                shutil.rmtree(folder, ignore_errors=True)
                raise InvalidFileError(
                    f"its episode {number} moves otherwise now, by {off:.3g} degrees",
                    file=self._source,
                    cure="use the versions that it was recorded with (meta/autoarm.json), or record it again",
                )
            dataset.add_frame(frame({**observation, "agent_pos": state}, action))
            observation, *_ = self._env.step(action)
        dataset.save_episode()
        dataset.finalize()
