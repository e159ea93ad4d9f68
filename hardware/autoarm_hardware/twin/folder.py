"""The folder that a running twin keeps: links to its ports, calibration files, and a note with everything to know."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from autoarm_hardware.twin.calibration import Calibration
from gym_autoarm.errors import InvalidFileError

NOTE: Final = "twin.json"
CALIBRATION: Final = "calibration"
ARMS: Final = ("follower", "leader")


class TwinFolder:
    """A folder while a twin uses it.

    It may be new, empty, or one that an earlier twin left; any other is not touched.

    Raises:
        InvalidFileError: If the folder is somebody else's, or a twin that still runs has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._is_new = not path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = {entry.name for entry in self.path.iterdir()}
        except OSError as error:
            raise InvalidFileError(f"cannot be used: {error.strerror or error}", file=path) from error
        foreign = sorted(names - {NOTE, CALIBRATION, *ARMS})
        if foreign or (names and NOTE not in names):
            what = foreign[0] if foreign else sorted(names)[0]
            raise InvalidFileError(
                f"holds {what}, which no twin has put there", file=path, cure="name a new or an empty folder"
            )
        if NOTE in names and (pid := _owner(self.path / NOTE)) is not None:
            raise InvalidFileError(
                f"a twin that still runs has it (process {pid})",
                file=path,
                cure="stop that one, or name another folder",
            )
        for arm in ARMS:
            link = self.path / arm
            if link.is_symlink():
                link.unlink()
            elif link.exists():
                raise InvalidFileError("is no link of a twin", file=link, cure="name a new or an empty folder")

    def link(self, arm: str) -> Path:
        """Where the link to an arm's port belongs."""
        return self.path / arm

    def write_calibration(self, arm: str, calibration: Calibration) -> None:
        """Write an arm's calibration where LeRobot looks for it, as LeRobot writes it."""
        (self.path / CALIBRATION).mkdir(exist_ok=True)
        content = {joint: asdict(values) for joint, values in calibration.items()}
        _write(self.path / CALIBRATION / f"{arm}.json", json.dumps(content, indent=4))

    def write_note(self, **more: Any) -> None:
        """Write down whose the folder is, its ports, and what LeRobot's commands want to be told about them."""
        places = f"calibration_dir={self.path / CALIBRATION}"
        _write(
            self.path / NOTE,
            json.dumps(
                {
                    "pid": os.getpid(),
                    "follower": {
                        "port": str(self.link("follower")),
                        "arguments": [
                            "--robot.type=so101_follower",
                            f"--robot.port={self.link('follower')}",
                            "--robot.id=follower",
                            f"--robot.{places}",
                        ],
                    },
                    "leader": {
                        "port": str(self.link("leader")),
                        "arguments": [
                            "--teleop.type=so101_leader",
                            f"--teleop.port={self.link('leader')}",
                            "--teleop.id=leader",
                            f"--teleop.{places}",
                        ],
                    },
                    **more,
                },
                indent=1,
            ),
        )

    def clear(self) -> None:
        """Remove what this twin has put there, and the folder too if it made it and nothing else is in it."""
        for arm in ARMS:
            (self.path / arm).unlink(missing_ok=True)
            (self.path / CALIBRATION / f"{arm}.json").unlink(missing_ok=True)
        (self.path / NOTE).unlink(missing_ok=True)
        with suppress(OSError):
            (self.path / CALIBRATION).rmdir()
            if self._is_new:
                self.path.rmdir()


def _owner(note: Path) -> int | None:
    """The process that wrote a note, if it still runs."""
    try:
        pid = int(json.loads(note.read_bytes())["pid"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidFileError("is not the note of a twin", file=note, cure="name a new or an empty folder") from error
    try:
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except OSError:
        return None
    return pid


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InvalidFileError(f"cannot be written: {error.strerror or error}", file=path) from error
