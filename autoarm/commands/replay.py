"""`autoarm replay`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from autoarm.commands.arguments import AnyDatasetFolder

if TYPE_CHECKING:
    from autoarm.system_id.arm_dataset import ArmDataset
    from autoarm.system_id.check import Answers


@dataclass
class Replay:
    """Give a recorded episode's actions to the simulated arm, and show what it does beside what the real one did.

    The simulated arm touches nothing: where the real one pressed on something, the two differ.

    Example: autoarm replay data/mine --episode 3 --out outputs/replay
    """

    dataset: tyro.conf.Positional[AnyDatasetFolder]
    """Folder of a LeRobotDataset of an SO-101: any rate, any cameras."""
    episode: int = 0
    """Number of the episode."""
    out: Path = Path("outputs/replay")
    """Folder for replay.json, the figure joints.png, and replay.mp4 if the dataset has videos."""
    body: str | None = None
    """How the simulated arm answers: a name, or a file of `autoarm twin-check --fit`; so101-12v by default."""
    top: Path | None = None
    """File with the place of the simulated top camera, which `autoarm align` writes."""
    lateral: Path | None = None
    """File with the place of the simulated lateral camera."""
    units: Literal["degrees", "percent"] | None = None
    """What the dataset counts joints in, if it does not tell: degrees, or percent for -100 to 100."""
    free: bool = False
    """The gripper holds nothing in this episode: compare it, too."""

    def run(self) -> int:
        """Replay, print the numbers, and write the folder."""
        from rich.console import Console

        from autoarm.figures.style import save_figure
        from autoarm.runtime.files import check_writable
        from autoarm.system_id.arm_dataset import open_arm_dataset
        from autoarm.system_id.check import Check, compare
        from autoarm.system_id.figures import joints_figure
        from autoarm.system_id.report import write_replay
        from autoarm.system_id.tables import error_table
        from gym_autoarm.body_files import DEFAULT_BODY, load_body

        check_writable(self.out / "replay.json")
        name = self.body or DEFAULT_BODY
        body = load_body(name)
        label = Path(name).stem
        dataset = open_arm_dataset(self.dataset, self.units)
        motions, notes = dataset.motions([self.episode], self.free)
        console = Console(stderr=True)
        for note in notes:
            console.print(note, markup=False, highlight=False)
        with console.status("simulating"):
            answers = compare(motions, {label: body})
        Console().print(error_table(Check(motions[0].recording, answers)))
        print(write_replay(self.out / "replay.json", answers, self.episode, dataset.units, notes))
        figure, rows = joints_figure(answers)
        print(save_figure(figure, self.out / "joints", rows))
        if dataset.cameras:
            with console.status("filming"):
                self._film(dataset, answers, label)
            print(self.out / "replay.mp4")
        return 0

    def _film(self, dataset: ArmDataset, answers: Answers, label: str) -> None:
        import numpy as np

        from autoarm.evaluation.replay_film import film_replay
        from gym_autoarm.scene_files import load_scene

        times = np.concatenate([motion.times for motion in answers.motions])
        path = np.concatenate(answers.paths[label])
        # A frame belongs to a row of the dataset; in a gap the simulated arm stands still.
        shown = np.searchsorted(times, dataset.recorded(self.episode).times, side="right") - 1
        film_replay(
            self.out / "replay.mp4",
            {camera: dataset.frames(self.episode, camera) for camera in dataset.cameras},
            path[np.maximum(shown, 0)],
            load_scene(top=self.top, lateral=self.lateral),
            f"simulated: {label}",
            max(1, round(dataset.fps)),
        )
