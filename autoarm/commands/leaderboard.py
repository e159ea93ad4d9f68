"""`autoarm leaderboard`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Leaderboard:
    """Build a static site from results: rankings, a page a policy, comparisons of any two.

    It needs no server and asks nothing of the network: open its index.html.

    Example: autoarm leaderboard --results benchmarks/results --out site
    """

    out: Path
    """Folder for the site; an older site there is replaced."""
    results: Path = Path("benchmarks/results")
    """Folder with result files of `autoarm bench`, at any depth, videos beside them."""
    title: str = "AutoArm leaderboard"
    """Title of the site."""

    def run(self) -> int:
        """Build it and say where it is."""
        from rich.console import Console

        from autoarm.leaderboard.build import build_leaderboard

        console = Console(stderr=True)
        with console.status("reading the results") as status:
            page = build_leaderboard(
                self.results, self.out, title=self.title, progress=lambda what: status.update(what)
            )
        print(f"leaderboard: {page}")
        return 0
