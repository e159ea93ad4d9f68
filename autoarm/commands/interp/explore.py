"""`autoarm interp explore`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class Explore:
    """Look at the features of a sparse autoencoder in a browser, and say what they are.

    Example: autoarm interp explore outputs/sae
    """

    folder: tyro.conf.Positional[Path]
    """Folder that `autoarm interp sae` wrote."""
    names: Path | None = None
    """JSON file of names and descriptions; `names.json` in the folder by default. Others' can be merged into it."""
    merge: tuple[Path, ...] = ()
    """Files of names by others, taken over where we have none."""
    read_only: bool = False
    """Show names, take none: for publishing."""
    host: str = "127.0.0.1"
    """Address to listen at; by default this machine alone can see the page."""
    port: int = 7860
    """Port to listen at."""

    def run(self) -> int:
        """Serve the page until interrupted."""
        from autoarm.explorer.names import FeatureNames
        from autoarm.explorer.page import build_page, serve
        from autoarm.explorer.records import FeatureRecords

        records = FeatureRecords.load(self.folder)
        names = FeatureNames.load(self.names or self.folder / "names.json", records.identity)
        for path in self.merge:
            names = names.merged(FeatureNames.load(path, records.identity, must_exist=True))
        if self.merge and not self.read_only:
            names.save()
        page = build_page(records, names, read_only=self.read_only)
        print(f"http://{self.host}:{self.port} (Ctrl+C ends it)")
        serve(page, self.host, self.port)
        return 0
