"""Draw the table's textures: `python -m autoarm_assets.make_textures FOLDER`. Deterministic; the PNGs are committed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

SIZE = 512
Texture = NDArray[np.float64]


def _noise(seed: int, sigma: tuple[float, float]) -> Texture:
    """Smooth noise of mean 0 and standard deviation 1 that tiles without a seam."""
    raw = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    smooth: Texture = gaussian_filter(raw, sigma, mode="wrap")
    return (smooth - smooth.mean()) / smooth.std()


def wood(dark: tuple[int, int, int], light: tuple[int, int, int], seed: int) -> Texture:
    """Boards with grain along the rows, `(SIZE, SIZE, 3)`."""
    boards = 4
    row = np.arange(SIZE)[:, None] * np.ones(SIZE)
    board = (row * boards // SIZE).astype(int)
    tone = np.random.default_rng(seed).normal(0, 0.10, boards)[board]
    grain = 0.5 + 0.5 * np.sin(row * 0.16 + 2.4 * _noise(seed + 1, (3, 90)))
    fibre = _noise(seed + 2, (0.7, 22))
    mix = np.clip(0.50 + tone + 0.18 * (grain - 0.5) + 0.09 * fibre, 0, 1)[..., None]
    colour: Texture = (1 - mix) * np.array(dark) + mix * np.array(light)
    colour[(row % (SIZE / boards)) < 2] *= 0.72
    return colour


def mat() -> Texture:
    """A dark green cutting mat with a light grid."""
    colour: Texture = np.full((SIZE, SIZE, 3), (34.0, 74.0, 66.0)) + 2.0 * _noise(11, (1, 1))[..., None]
    row, column = np.indices((SIZE, SIZE))
    fine = (row % 64 < 1) | (column % 64 < 1)
    bold = (row % 256 < 2) | (column % 256 < 2)
    colour[fine] += 26
    colour[bold] += 40
    return colour


def linen() -> Texture:
    """Woven cloth."""
    weave = _noise(21, (0.6, 6)) + _noise(22, (6, 0.6))
    cloth: Texture = np.array([206.0, 199.0, 184.0]) + 8.0 * weave[..., None] + 3.0 * _noise(23, (40, 40))[..., None]
    return cloth


def main(folder: Path) -> None:
    """Write every texture into `folder`."""
    textures = {
        "oak": wood((140, 103, 66), (199, 160, 112), 1),
        "walnut": wood((62, 42, 30), (108, 78, 56), 5),
        "mat": mat(),
        "linen": linen(),
    }
    for name, colour in textures.items():
        Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8)).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
