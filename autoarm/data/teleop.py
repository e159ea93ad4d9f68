"""Record what a person does with an arm as a LeRobotDataset, of the same kind as the scripted expert's.

As there, every episode is a finished dataset of its own until all are joined: whatever happens, finished ones stay, and
the same call goes on another day. The person decides about each: see `Session`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from autoarm.data.collect import Collected, assemble, collection_settings, new_collection
from autoarm.data.collection import RECORD_AGAIN, CollectionSettings, EpisodeRecord, Teleop
from autoarm.data.recording import (
    RECORD,
    UNFINISHED,
    create_dataset,
    episode_folder,
    episode_seed,
    finish_episode,
    frame,
    quiet,
)
from autoarm.runtime.files import read_json
from gym_autoarm import ENV_ID, spec
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.scene import Scene
from gym_autoarm.scene_data import scene_changes

Outcome = Literal["success", "kept", "failure", "again", "previous", "quit"]
"""How an episode ended; see `autoarm_hardware.teleop.session.Outcome`."""

EPISODE_TIME: Final = 60.0
"""Seconds that an episode may last: six times what a policy gets."""

_LEAST_FRAMES: Final = 2
"""Least length of an episode: what is shorter was ended before it began."""
_DISCARDED: Final = {"failure": "No success: discarded.", "again": "Discarded.", "quit": "Left; the finished stay."}


class Session(Protocol):
    """What is asked of a session; see `autoarm_hardware.teleop.session.Session`."""

    env_id: str
    robot_type: str

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the cameras' frames."""
        ...

    @property
    def scene(self) -> Scene:
        """Scene of the present episode."""
        ...

    def episode(
        self,
        seed: int,
        options: Mapping[str, Any] | None = None,
        *,
        seconds: float = ...,
        on_frame: Callable[[Mapping[str, Any], NDArray[np.float32]], None] | None = None,
    ) -> Outcome:
        """Have the person drive through an episode, told every observation and action of it."""
        ...


def open_session(teleop: Teleop, **options: Any) -> AbstractContextManager[Session]:
    """See `autoarm_hardware.teleop.rig.open_session`."""
    # `autoarm` and `autoarm_hardware` know nothing of each other: what lives there is found by its name.
    session: AbstractContextManager[Session] = import_module("autoarm_hardware.teleop.rig").open_session(
        teleop, **options
    )
    return session


def collect_by_hand(
    out: str | Path,
    session: Session,
    teleop: Teleop,
    *,
    spots: str | Sequence[str] = "five",
    episodes_per_spot: int = 10,
    episodes: int | None = None,
    seed: int = 0,
    vcodec: str = "h264",
    episode_time: float = EPISODE_TIME,
    say: Callable[[str], None] = print,
) -> Collected | None:
    """Record a person's demonstrations, or go on with a recording that was left or interrupted.

    Success ends an episode and keeps it; failure, or the end of its time, discards it. An episode that is discarded is
    repeated with the same scene. Seeds and places are those of `autoarm.data.collect.collect`.

    Args:
        out: Folder of the dataset; see `collect`, also for the arguments not named here.
        session: The connected session.
        teleop: What the person drives with.
        episode_time: Seconds that an episode may last.
        say: How to tell the person something.

    Returns:
        Nothing if the person quit before the last episode.

    Raises:
        AutoArmError: As `collect`, and what the session raises.
    """
    if not 1.0 <= episode_time <= 3600.0:
        raise InvalidInputError(f"{episode_time} s are no episode", field="episode_time", cure="1 to 3600")
    settings = collection_settings(spots, episodes_per_spot, episodes, seed, session.image_size, vcodec)
    base = scene_changes(Scene()) if session.env_id == ENV_ID else {}
    settings = settings.model_copy(update={"order": "shuffled", "scene": base})

    def record(partial: Path, todo: list[int]) -> Iterator[None]:
        return _Recorder(partial, session, settings, episode_time, say).record(todo)

    return assemble(out, new_collection(settings, session.env_id, teleop), record, lambda done, wanted: None)


class _Recorder:
    """Has one episode after another recorded, each as a dataset of its own."""

    def __init__(
        self,
        partial: Path,
        session: Session,
        settings: CollectionSettings,
        episode_time: float,
        say: Callable[[str], None],
    ) -> None:
        self._partial = partial
        self._session = session
        self._settings = settings
        self._time = episode_time
        self._say = say

    def record(self, todo: list[int]) -> Iterator[None]:
        """Record episodes; yields when there is one more or one less. Ends early if the person quits."""
        left, attempt = sorted(todo), 1
        while left:
            match self._attempt(left[0], attempt):
                case "success" | "kept":
                    left.pop(0)
                    attempt = 1
                    yield
                case "previous":
                    if (before := self._take_back(left[0] - 1)) is not None:
                        left.insert(0, left[0] - 1)
                        attempt = before.attempts + 1
                        yield
                case "failure" | "again":
                    attempt += 1
                case "quit":
                    return

    def _attempt(self, index: int, attempt: int) -> Outcome:
        spot, number = self._settings.placing(index)
        seed = episode_seed(self._settings.seed, spot, number)
        again = f", attempt {attempt}" if attempt > 1 else ""
        self._say(f"Episode {index + 1} of {self._settings.total}, cube {spot or 'anywhere'}{again}.")
        folder = self._partial / f"{UNFINISHED}{index:06d}-{os.getpid()}"
        with quiet():
            dataset = create_dataset(folder, self._settings, round(self._time * spec.FPS), self._session.robot_type)
            try:
                outcome, frames = self._drive(dataset, seed, spot)
                if outcome in ("success", "kept"):
                    dataset.save_episode()
                else:
                    dataset.clear_episode_buffer()
            finally:
                dataset.finalize()
        if outcome not in ("success", "kept"):
            shutil.rmtree(folder)
            if outcome in _DISCARDED:
                self._say(_DISCARDED[outcome])
            return outcome
        record = EpisodeRecord(
            spot=spot,
            seed=seed,
            attempts=attempt,
            frames=frames,
            scene=asdict(self._session.scene),
            success=outcome == "success",
        )
        finish_episode(folder, self._partial, index, record)
        self._say(f"{'Success' if record.success else 'Kept, without success'}: {frames / spec.FPS:.1f} s.")
        return outcome

    def _drive(self, dataset: Any, seed: int, spot: str | None) -> tuple[Outcome, int]:
        """Drive through an episode; how it ended and how many frames it has."""
        frames = 0

        def keep(observation: Mapping[str, Any], action: NDArray[np.float32]) -> None:
            nonlocal frames
            dataset.add_frame(frame(observation, action))
            frames += 1

        options = {} if spot is None else {"spot": spot}
        outcome = self._session.episode(seed, options, seconds=self._time, on_frame=keep)
        if outcome in ("success", "kept") and frames < _LEAST_FRAMES:
            return "again", frames
        return outcome, frames

    def _take_back(self, index: int) -> EpisodeRecord | None:
        """Discard a finished episode, if there is one of that number; what was known of it."""
        folder = episode_folder(self._partial, index)
        if index < 0 or not folder.is_dir():
            self._say("There is no episode before this one.")
            return None
        record = read_json(EpisodeRecord, folder / RECORD, RECORD_AGAIN)
        shutil.rmtree(folder)
        self._say(f"Episode {index + 1} is discarded.")
        return record
