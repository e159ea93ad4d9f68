"""What the tuned rendering gains and costs, beside MuJoCo's default quality settings on the same scenes.

Run with `python benchmarks/speed/rendering.py`. Cost is the processor time of the process, all threads, which a busy
machine disturbs less than the time on the clock; the settings take turns, and their ratio is the median over rounds.
Quality is the peak signal-to-noise ratio against frames drawn at four times the size with an 8192-texel shadow map.
The floor of the defaults reflects, as MuJoCo's does, and the reference's does not, which costs the defaults some.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import gym_autoarm  # noqa: F401  (chooses EGL before MuJoCo is imported)

# isort: split
import mujoco
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.expert import Expert, Style
from gym_autoarm.rendering import Frame, FrameRenderer, gl_renderer, picture_option, spare_planes_from_shadow_map
from gym_autoarm.scene import Light, Scene

Draw = Callable[[mujoco.MjData, str], NDArray[Any]]

SIZES: Final = ((480, 640), (96, 128))
REFERENCE_SCALE: Final = 4
REFERENCE_SHADOW: Final = 8192


@dataclass(frozen=True)
class Options:
    """Compare the tuned rendering with MuJoCo's defaults.

    Example: python benchmarks/speed/rendering.py --json rendering.json
    """

    rounds: int = 7
    """How often every setting is measured."""
    episodes: int = 4
    """Expert episodes that states are taken from, three of each."""
    json: Path | None = None
    """File for the numbers."""


@dataclass(frozen=True)
class Comparison:
    """Tuned rendering beside the defaults: processor milliseconds a frame, their ratio, and quality in dB."""

    size: tuple[int, int]
    default_ms: float
    tuned_ms: float
    speedup: float
    default_psnr: dict[str, float]
    tuned_psnr: dict[str, float]


@dataclass(frozen=True)
class Physics:
    """Processor milliseconds of the parts that draw nothing."""

    control_step_ms: float
    reset_ms: float
    reset_with_compilation_ms: float


def states(episodes: int) -> tuple[mujoco.MjModel, list[mujoco.MjData]]:
    """A model and states of it: on the way to the cube, holding it, and over the box."""
    env, found = PickIntoBoxEnv(cameras=False), []
    for seed in range(episodes):
        _, info = env.reset(seed=seed)
        plan = Expert().plan_for(info, np.asarray(env.scene.start), Style.sample(seed))
        for part in np.array_split(plan[: int(0.8 * len(plan))], 3):
            env.step_chunk(part)
            found.append(copy.copy(env.data))
    return env.model, found


def tuned(model: mujoco.MjModel, size: tuple[int, int]) -> Draw:
    """The environment's own renderer."""
    return FrameRenderer(model, size).render


def default(model: mujoco.MjModel, size: tuple[int, int]) -> Draw:
    """MuJoCo's renderer with the quality settings of an empty model and a reflecting floor."""
    model = copy.copy(model)
    defaults = mujoco.MjSpec().visual
    for name in ("shadowsize", "offsamples", "numslices", "numstacks", "numquads"):
        setattr(model.vis.quality, name, getattr(defaults.quality, name))
    model.vis.map.shadowclip = defaults.map.shadowclip
    model.mat_reflectance[model.material("table").id] = 0.2
    renderer = mujoco.Renderer(model, *size)

    def draw(data: mujoco.MjData, camera: str) -> Frame:
        renderer.update_scene(data, camera, picture_option())
        frame: Frame = renderer.render()
        return frame

    return draw


def reference(model: mujoco.MjModel, size: tuple[int, int]) -> Draw:
    """The environment's renderer without its economies: many samples a pixel and a fine shadow map."""
    model = copy.copy(model)
    height, width = (REFERENCE_SCALE * side for side in size)
    model.vis.global_.offheight, model.vis.global_.offwidth = height, width
    model.vis.quality.shadowsize = REFERENCE_SHADOW
    renderer = mujoco.Renderer(model, height, width)
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0

    def draw(data: mujoco.MjData, camera: str) -> NDArray[np.float64]:
        renderer.update_scene(data, camera, picture_option())
        spare_planes_from_shadow_map(renderer.scene)
        return _shrink(renderer.render())

    return draw


def _shrink(frame: Frame) -> NDArray[np.float64]:
    height, width = (side // REFERENCE_SCALE for side in frame.shape[:2])
    blocks = frame.reshape(height, REFERENCE_SCALE, width, REFERENCE_SCALE, 3)
    return blocks.mean(axis=(1, 3))


def psnr(frames: NDArray[Any], references: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB, over all frames together."""
    error = np.mean((frames.astype(np.float64) - references) ** 2)
    return float(10 * np.log10(255.0**2 / error))


def compare(model: mujoco.MjModel, data: list[mujoco.MjData], size: tuple[int, int], rounds: int) -> Comparison:
    """Measure both settings in turns."""
    settings = {"default": default(model, size), "tuned": tuned(model, size)}
    exact = reference(model, size)
    quality: dict[str, dict[str, float]] = {name: {} for name in settings}
    for camera in spec.CAMERAS:
        wanted = np.stack([exact(each, camera) for each in data])
        for name, draw in settings.items():
            quality[name][camera] = psnr(np.stack([draw(each, camera) for each in data]), wanted)
    cost: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(rounds):
        for name, draw in settings.items():
            cost[name].append(_milliseconds(lambda draw=draw: [draw(d, c) for d in data for c in spec.CAMERAS]))
    per_frame = {name: np.array(each) / (len(data) * len(spec.CAMERAS)) for name, each in cost.items()}
    return Comparison(
        size=size,
        default_ms=float(np.median(per_frame["default"])),
        tuned_ms=float(np.median(per_frame["tuned"])),
        speedup=float(np.median(per_frame["default"] / per_frame["tuned"])),
        default_psnr=quality["default"],
        tuned_psnr=quality["tuned"],
    )


def measure_physics(rounds: int) -> Physics:
    """Control steps and resets of the expert's episodes, without cameras."""
    env = PickIntoBoxEnv(cameras=False)
    steps, resets, compilations = [], [], []
    for seed in range(rounds):
        _, info = env.reset(seed=seed)
        plan = Expert().plan_for(info, np.asarray(env.scene.start), Style.sample(seed))
        before = len(plan)
        steps.append(_milliseconds(lambda plan=plan: env.step_chunk(plan)) / before)
        resets.append(_milliseconds(lambda seed=seed: env.reset(seed=seed + 1)))
        other = Scene(light=Light(diffuse=0.5 - 0.01 * seed))
        compilations.append(_milliseconds(lambda other=other: env.reset(options={"scene": other})))
        env.reset(seed=seed)
    return Physics(*(float(np.median(each)) for each in (steps, resets, compilations)))


def _milliseconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return 1e3 * (time.process_time() - before)


def main(options: Options) -> None:
    """Measure, print a table, and write the numbers where asked."""
    console = Console()
    model, data = states(options.episodes)
    renderer = gl_renderer()
    comparisons = [compare(model, data, size, options.rounds) for size in SIZES]
    physics = measure_physics(options.rounds)

    table = Table(title=f"Rendering with {renderer}, {2 * len(data)} frames, median of {options.rounds} rounds")
    for column in ("size", "defaults, CPU ms", "tuned, CPU ms", "cheaper", "defaults, dB", "tuned, dB"):
        table.add_column(column, justify="right")
    for each in comparisons:
        table.add_row(
            "x".join(map(str, each.size)),
            f"{each.default_ms:.1f}",
            f"{each.tuned_ms:.1f}",
            f"{each.speedup:.1f}x",
            ", ".join(f"{camera} {value:.1f}" for camera, value in each.default_psnr.items()),
            ", ".join(f"{camera} {value:.1f}" for camera, value in each.tuned_psnr.items()),
        )
    console.print(table)
    console.print(
        f"Physics: {physics.control_step_ms:.2f} CPU ms a control step; reset {physics.reset_ms:.1f} ms,"
        f" with compilation {physics.reset_with_compilation_ms:.1f} ms"
    )
    if options.json is not None:
        from autoarm.runtime.files import write_text

        record = {
            "gl_renderer": renderer,
            "mujoco": mujoco.__version__,
            "frames": 2 * len(data),
            "rounds": options.rounds,
            "rendering": [asdict(each) for each in comparisons],
            "physics": asdict(physics),
        }
        write_text(options.json, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
