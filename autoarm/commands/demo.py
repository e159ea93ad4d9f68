"""`autoarm demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Demo:
    """Record demonstrations, measure a policy beside two baselines and write a report with maps and videos.

    Example: autoarm demo --out outputs/demo
    """

    out: Path = Path("outputs/demo")
    """Folder for everything. That of an earlier run is written over; any other must be new or empty."""
    policy: str = "act-five-spots"
    """A shipped policy, a checkpoint folder, a baseline, or module:Class."""
    seed: int = 0
    """Random seed of demonstrations and episodes."""
    episodes: int = 10
    """Episodes of each policy at the training spots, and as many again anywhere in the work area."""
    image_size: tuple[int, int] = (480, 640)
    """Height and width of the frames."""

    def run(self) -> int:
        """Run it with progress bars and say where to look."""
        from rich.progress import TaskID

        from autoarm.demo.run import run_demo
        from autoarm.results.places import place
        from autoarm.runtime.bars import Bars

        with Bars() as bars:
            tasks: dict[str, TaskID] = {}

            def advance(what: str, done: int, wanted: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=wanted)
                bars.update(tasks[what], completed=done, total=wanted)

            output = run_demo(self.out, self.policy, self.seed, self.episodes, self.image_size, advance)
        for result in output.result.results:
            rate = result.overall
            print(
                f"{result.policy.name}, cube {place(result)}: {rate.successes} of {rate.episodes} in the box"
                f" (95 % interval {rate.low:.0%} to {rate.high:.0%})"
            )
        print(f"took {output.result.seconds:.0f} s")
        print(f"report: {output.report}")
        print(f"result: {output.result_file}")
        return 0
