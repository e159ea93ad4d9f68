"""`autoarm interp attention`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from autoarm.commands.arguments import DatasetFolder, PolicyName
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError


@dataclass
class Attention:
    """Show where a policy looks over an episode: a video of both cameras, and the maps as data (npz).

    With a dataset it is shown what somebody else did; with --live it acts itself, undisturbed.

    Example: autoarm interp attention act-five-spots outputs/demonstrations --episode 3 --out outputs/attention
    """

    policy: tyro.conf.Positional[PolicyName]
    """A checkpoint folder of LeRobot's ACT, or a shipped policy."""
    dataset: tyro.conf.Positional[DatasetFolder | None] = None
    """LeRobotDataset folder; none with --live."""
    out: Path = Path("outputs/attention")
    """Folder for the video and the data."""
    episode: int = 0
    """Number of the episode in the dataset; with --live the seed of the scene."""
    live: bool = False
    """Let the policy act."""
    body: Literal["sim", "real"] = "sim"
    """With --live: the simulated arm, or a real one."""
    robot: Path | None = None
    """With --body real: the arm's file (YAML). `autoarm twin --dir DIR` writes DIR/robot.yaml."""
    layer: int = -1
    """Decoder layer; -1 is the last."""
    head: int | None = None
    """One head; the mean over all by default."""
    slot: int | None = None
    """One slot of the chunk, that is one future action; the mean over all by default."""
    scale: Literal["shared", "camera"] = "shared"
    """One scale for both cameras, or one for each."""
    from_zero: bool = False
    """Begin the colour scale at nought instead of at the episode's smallest value."""
    device: str = "cpu"
    """Torch device, such as cpu or cuda."""

    def run(self) -> int:
        """Record, then write the data and the video."""
        if self.live == (self.dataset is not None):
            raise InvalidInputError(
                "either a dataset or a live run", field="dataset", cure="name a dataset, or give --live, not both"
            )
        if self.body == "real" and not self.live:
            raise InvalidInputError("a dataset has its own", field="body", cure="leave it out, or give --live")
        from rich.console import Console

        from autoarm.commands.interp.loading import load_act
        from autoarm.evaluation.backend import choose_robot
        from autoarm.interp.methods.attention_video import Selection, dataset_attention, live_attention, write_video
        from autoarm.runtime.files import check_writable

        name = f"live-{self.episode}" if self.live else f"episode-{self.episode}"
        video, data = self.out / f"{name}.mp4", self.out / f"{name}.npz"
        for path in (video, data):
            check_writable(path)
        robot = choose_robot(self.body, self.robot)
        selection = Selection(self.layer, self.head, self.slot)
        outcome = ""
        with Console(stderr=True).status("recording and drawing"):
            if self.dataset is None:
                from gym_autoarm.sampling import SceneDistribution

                policy = load_act(self.policy, self.device, spec.IMAGE_SIZE if robot is None else robot.image_size)
                scene = SceneDistribution(cube="spots").sample(self.episode)
                track, frames, success = live_attention(policy, scene, self.episode, selection, robot=robot)
                outcome = ", success" if success else ", no success"
            else:
                from autoarm.data.dataset import check_dataset, episode_views, joint_columns

                info = check_dataset(self.dataset)
                policy = load_act(self.policy, self.device, info.image_size)
                frames = episode_views(self.dataset, self.episode)
                states, _, index = joint_columns(self.dataset)
                track = dataset_attention(policy, states[index == self.episode], frames, selection)
            track.save(data)
            write_video(video, track, frames, self.scale, from_zero=self.from_zero)
        parts = ", ".join(f"{group} {values.mean():.1%}" for group, values in track.shares().items())
        print(f"{len(track)} steps{outcome}; attention on average: {parts}")
        print(f"each head spreads over {track.effective.mean():.1f} of {track.layout.size} tokens")
        print(f"video: {video}\ndata: {data}")
        return 0
