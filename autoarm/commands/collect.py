"""`autoarm collect`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from autoarm.commands.measured_scene import MeasuredScene, area_of
from autoarm.commands.next_step import next_step
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError


@dataclass
class Collect:
    """Record the scripted expert, or with --teleop a person, as a LeRobotDataset with videos.

    Killed, interrupted or left, it keeps every finished episode in OUT.partial; the same command goes on from there.

    Example: autoarm collect --out data/five-spots --spots five --episodes-per-spot 10 --seed 0

    Example: autoarm collect --out data/mine --teleop leader --body real --robot my-arm.yaml --view live
    """

    out: Path
    """Folder of the dataset."""
    spots: str = "five"
    """`five`; `everywhere`, at random; `spread`, evenly and up to the edges; or spots joined by commas, by name or as
    x:y or x:y:yaw in metres and degrees."""
    episodes_per_spot: int = 10
    """Episodes at each spot."""
    episodes: int | None = None
    """Episodes in all, with `--spots everywhere` or `spread`; 50 by default."""
    area: tuple[float, float, float, float] | None = None
    """With `--spots everywhere` or `spread`: bounds of x and of y, metres; 0.15 0.27 -0.06 0.14 by default."""
    vary: tuple[str, ...] = ()
    """What else is drawn at random in every episode: `all`, or some of object, light, surface, camera, box, start,
    noise, body and distractors."""
    seed: int = 0
    """Equal seeds give equal episodes."""
    image_size: tuple[int, int] = spec.IMAGE_SIZE
    """Height and width of the frames; a robot's file says its own."""
    vcodec: Literal["h264", "libsvtav1"] = "h264"
    """Video codec: `h264` plays everywhere, `libsvtav1` is smaller and slower."""
    order: Literal["shuffled", "by-spot"] = "shuffled"
    """Order of the expert's episodes: shuffled, or one spot after the other."""
    workers: int | None = None
    """Processes that record the expert; one for each core, up to four, by default."""
    teleop: Literal["leader", "keyboard", "gamepad"] | None = None
    """Record a person who drives with this, rather than the expert; keys are shown when it starts."""
    body: Literal["sim", "real"] = "sim"
    """With --teleop: which arm is driven."""
    robot: Path | None = None
    """With --teleop: the robot's file (YAML), of the real arm and of the leader."""
    view: str | None = None
    """With --teleop: `live` opens a window of rerun's, NAME.rrd writes a file for it."""
    episode_time: float = 60.0
    """With --teleop: seconds after which an episode without success is discarded."""
    scene: MeasuredScene = field(default_factory=MeasuredScene)

    def run(self) -> int:
        """Record, and say what was recorded."""
        if self.teleop is not None:
            for option in ("scene", "vary", "area"):
                if getattr(self, option):
                    raise InvalidInputError("is for the expert", field=option, cure="leave it out with --teleop")
            return self._record_person(self.teleop)
        for option in ("robot", "view"):
            if getattr(self, option) is not None:
                raise InvalidInputError("is for a person who drives", field=option, cure="add --teleop")
        if self.body == "real":
            raise InvalidInputError(
                "the expert knows where the cube is, which a real arm does not",
                field="body",
                cure="drive it yourself: add --teleop leader (or keyboard, gamepad)",
            )
        return self._record_expert()

    def _record_person(self, teleop: Literal["leader", "keyboard", "gamepad"]) -> int:
        import sys
        from functools import partial

        from autoarm.data.teleop import collect_by_hand, open_session

        if self.workers not in (None, 1):
            raise InvalidInputError("there is one person", field="workers", cure="leave it out with --teleop")
        say = partial(print, file=sys.stderr, flush=True)
        is_default = self.image_size == spec.IMAGE_SIZE
        with open_session(
            teleop,
            body=self.body,
            robot=self.robot,
            view=self.view,
            image_size=None if is_default else self.image_size,
            must_hear=True,
            say=say,
        ) as session:
            collected = collect_by_hand(
                self.out,
                session,
                teleop,
                spots=self.spots,
                episodes_per_spot=self.episodes_per_spot,
                episodes=self.episodes,
                seed=self.seed,
                vcodec=self.vcodec,
                episode_time=self.episode_time,
                say=say,
            )
        if collected is None:
            print(f"not finished: the same command goes on ({self.out}.partial)")
            return 0
        episodes = collected.collection.episodes
        print(f"{len(episodes)} episodes, {sum(episode.frames for episode in episodes)} frames: {collected.folder}")
        next_step("train", collected.folder, "--out", "outputs/act")
        return 0

    def _record_expert(self) -> int:
        from rich.console import Console

        from autoarm.commands.progress import episode_bar
        from autoarm.data.collect import collect

        console = Console(stderr=True)
        with episode_bar(console) as recorded:
            collected = collect(
                self.out,
                spots=self.spots,
                episodes_per_spot=self.episodes_per_spot,
                episodes=self.episodes,
                seed=self.seed,
                image_size=self.image_size,
                vcodec=self.vcodec,
                order=self.order,
                workers=self.workers,
                area=area_of(self.area),
                vary=self.vary,
                base=self.scene.load(),
                on_progress=recorded,
            )
        episodes = collected.collection.episodes
        if collected.kept:
            console.print(f"{collected.kept} of {len(episodes)} episodes were there already")
        for index, episode in enumerate(episodes):
            if episode.attempts > 1:
                console.print(f"episode {index}: the expert needed {episode.attempts} attempts")
        print(f"{len(episodes)} episodes, {sum(episode.frames for episode in episodes)} frames: {collected.folder}")
        next_step("train", collected.folder, "--out", "outputs/act")
        return 0
