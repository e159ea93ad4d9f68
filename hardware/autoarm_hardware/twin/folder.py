"""The folder of a running twin: links to its ports, calibration files, and a note with arguments for commands."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from autoarm_hardware.twin.calibration import Calibration, JointCalibration
from gym_autoarm import spec
from gym_autoarm.body_files import body_names
from gym_autoarm.errors import PLACE, InvalidFileError
from gym_autoarm.files import write_text

NOTE: Final = "twin.json"
ROBOT: Final = "robot.yaml"
CALIBRATION: Final = "calibration"
ARMS: Final = ("follower", "leader")


class TwinFolder:
    """The folder that a twin uses.

    It may be new, empty, or left by an earlier twin; any other folder is not touched. Calibrations that LeRobot has
    written into it stay when the twin stops.

    Raises:
        InvalidFileError: If the folder holds other files, or a running twin uses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._written: dict[Path, str] = {}
        self._is_new = not path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = {entry.name for entry in self.path.iterdir()}
        except OSError as error:
            raise InvalidFileError(f"cannot be used: {error.strerror or error}", file=path, cure=PLACE) from error
        foreign = sorted(names - {NOTE, CALIBRATION, ROBOT, *ARMS})
        if foreign:
            raise InvalidFileError(
                f"holds {foreign[0]}, which no twin has put there", file=path, cure="name a new or an empty folder"
            )
        if NOTE in names and (pid := _owner(self.path / NOTE)) is not None:
            raise InvalidFileError(
                f"a twin that still runs has it (process {pid})",
                file=path,
                cure="stop that one, or name another folder",
            )
        if ROBOT in names and NOTE not in names:
            raise InvalidFileError("is not a twin's", file=self.path / ROBOT, cure="name a new or an empty folder")
        for arm in ARMS:
            link = self.path / arm
            if link.is_symlink() and NOTE in names:
                link.unlink()
            elif link.exists(follow_symlinks=False):
                raise InvalidFileError("is no link of a twin", file=link, cure="name a new or an empty folder")

    def link(self, arm: str) -> Path:
        """The path of the link to an arm's port."""
        return self.path / arm

    def keep_calibration(self, arm: str, default: Calibration) -> Calibration:
        """An arm's calibration in the folder; if there is none, `default` is written there.

        Raises:
            InvalidFileError: If the file there is not a calibration of LeRobot's.
        """
        path = self.path / CALIBRATION / f"{arm}.json"
        if path.exists():
            return _read_calibration(path)
        path.parent.mkdir(exist_ok=True)
        content = json.dumps({joint: asdict(values) for joint, values in default.items()}, indent=4)
        write_text(path, content + "\n")
        self._written[path] = content + "\n"
        return default

    def write_note(self, **more: Any) -> None:
        """Write `twin.json`: the process, its ports, the arguments for LeRobot's commands, and `more`."""
        places = f"calibration_dir={self.path / CALIBRATION}"
        write_text(
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
            )
            + "\n",
        )

    def write_robot(self, cameras: dict[str, dict[str, Any]], table: int, body: str | None) -> None:
        """Write `robot.yaml`, the file for `--robot`.

        Args:
            cameras: LeRobot's configurations of the cameras.
            table: Port of the twin's `TableServer`.
            body: Name or file of the arm's body; `None` if it has neither.
        """
        # Here, because the real environment, and LeRobot under it, take seconds to import.
        from autoarm_hardware.config import LeaderConfig, RobotConfig, write_robot
        from autoarm_hardware.servos import Limits

        places = self.path / CALIBRATION
        robot = RobotConfig(
            type="so101_follower",
            port=str(self.link("follower")),
            id="follower",
            calibration_dir=places,
            cameras=cameras,  # type: ignore[arg-type]  # their names are those of the contract
            operator=f"twin:{table}",
            body=body if body is None or body in body_names() else Path(body).resolve(),
            # Both ends run on this machine, which may be busy.
            retries=5,
            limits=Limits(gap=2.0),
            leader=LeaderConfig(
                type="so101_leader", port=str(self.link("leader")), id="leader", calibration_dir=places
            ),
        )
        comment = "Written by a twin, which removes it when it stops: copy it to change it."
        self._written[self.path / ROBOT] = write_robot(self.path / ROBOT, robot, comment)

    def clear(self) -> None:
        """Remove what this twin has written, and the folder too if the twin made it and it is empty."""
        for arm in ARMS:
            (self.path / arm).unlink(missing_ok=True)
        for path, content in self._written.items():
            with suppress(OSError):
                if path.read_text(encoding="utf-8") == content:
                    path.unlink()
        (self.path / NOTE).unlink(missing_ok=True)
        with suppress(OSError):
            (self.path / CALIBRATION).rmdir()
            if self._is_new:
                self.path.rmdir()


def _read_calibration(path: Path) -> Calibration:
    try:
        content = json.loads(path.read_bytes())
        calibration = {joint: JointCalibration(**content[joint]) for joint in spec.JOINTS}
        for entry in calibration.values():
            if any(type(value) is not int for value in asdict(entry).values()):
                raise TypeError("it wants whole numbers")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidFileError(
            f"is no calibration of LeRobot's: {error}", file=path, cure="delete it, or name another folder"
        ) from error
    return calibration


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
