"""How far is a camera that `autoarm align camera` has estimated from the one that took the pictures?

Cameras of which everything is known take pictures of the board, noise included: both of the default ones, and others
moved, turned and zoomed at random. The arm stands folded in them and hides part of the board.

Example: python benchmarks/hardware/alignment.py
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.spatial.transform import Rotation

from autoarm_hardware.alignment.align import align
from autoarm_hardware.alignment.board import Board, against_base
from autoarm_hardware.alignment.rendered import BoardRenderer
from autoarm_hardware.pictures import write_picture
from autoarm_hardware.vision import View
from gym_autoarm import spec
from gym_autoarm.model import camera_quaternion
from gym_autoarm.rng import stream
from gym_autoarm.scene import LATERAL, TOP, Camera


@dataclass
class Arguments:
    """Measure the error of `autoarm align camera`."""

    perturbed: int = 4
    """Number of moved cameras besides each default one."""
    held: int = 8
    """Number of pictures of the board in the hand."""
    noise: float = 3.0
    """Standard deviation of the noise in pictures, grey levels."""
    supersample: bool = True
    """Whether a pixel is the mean of four, as a sensor's is of all light on it; otherwise as in the twin's frames."""
    seed: int = 0
    """Random seed."""


SHIFT, AIM, TURN, ZOOM = 0.04, 0.03, 10.0, 6.0
"""Largest change of a perturbed camera: position and target in metres each way, roll and view in degrees."""
TABLE: Final = np.array([[x, y, 0.0] for x in np.linspace(*spec.WORK_AREA[0], 7) for y in np.linspace(-0.2, 0.14, 9)])
"""Where cube and box may be."""


def perturbed(name: str, camera: Camera, number: int, seed: int) -> Camera:
    """The camera, and for numbers above 0 another one near it."""
    if number == 0:
        return camera
    rng = stream(seed, "camera", name, number)
    position = tuple(float(value) for value in camera.position + rng.uniform(-SHIFT, SHIFT, 3))
    target = tuple(float(value) for value in camera.target + rng.uniform(-AIM, AIM, 3))
    fovy = camera.fovy + float(rng.uniform(-ZOOM, ZOOM))
    return Camera(position, target, fovy, float(rng.uniform(-TURN, TURN)))  # type: ignore[arg-type]  # three each


def measure(camera: Camera, arguments: Arguments, folder: Path, seed: int) -> NDArray[np.float64]:
    """Errors `(5,)` of one camera: position mm, direction degrees, view degrees, pixels on the table, and residual."""
    board = Board()
    table, held = folder / "table.png", [folder / f"held-{number}.png" for number in range(arguments.held)]
    with BoardRenderer(camera, board, noise=arguments.noise, supersample=arguments.supersample, seed=seed) as studio:
        write_picture(table, studio.on_table(against_base(board)))
        for path in held:
            write_picture(path, studio.in_hand())
    found = align([table], held).estimate
    ours, true = (Rotation.from_quat(camera_quaternion(each), scalar_first=True) for each in (found.camera, camera))
    seen = [View(each, spec.IMAGE_SIZE).project(TABLE) for each in (found.camera, camera)]
    return np.array(
        [
            1000 * np.linalg.norm(np.subtract(found.camera.position, camera.position)),
            np.rad2deg((ours * true.inv()).magnitude()),
            abs(found.camera.fovy - camera.fovy),
            np.sqrt(np.mean(np.sum((seen[0] - seen[1]) ** 2, axis=1))),
            found.error,
        ]
    )


def main() -> None:
    """Print the errors."""
    arguments = tyro.cli(Arguments, description=__doc__)
    console = Console()
    table = Table(title="median (largest) error")
    for title in ("camera", "position, mm", "direction, deg", "view, deg", "on the table, px", "residual, px"):
        table.add_column(title)
    for name, camera in (("top", TOP), ("lateral", LATERAL)):
        errors = []
        for number in track(range(1 + arguments.perturbed), name, console=console):
            with tempfile.TemporaryDirectory() as folder:
                view = perturbed(name, camera, number, arguments.seed)
                errors.append(measure(view, arguments, Path(folder), arguments.seed + number))
        both = zip(np.median(errors, axis=0), np.max(errors, axis=0), strict=True)
        table.add_row(f"{name}, {len(errors)} poses", *(f"{middle:.2f} ({most:.2f})" for middle, most in both))
    console.print(table)


if __name__ == "__main__":
    main()
