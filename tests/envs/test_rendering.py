"""The renderer: what it draws, how it fails, and that it leaves quietly."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gym_autoarm.errors import InvalidInputError
from gym_autoarm.model import compile_scene
from gym_autoarm.rendering import FrameRenderer, gl_renderer, halve
from gym_autoarm.scene import Scene

DRAW = """
import gymnasium as gym, gym_autoarm
env = gym.make("gym_autoarm/PickIntoBox-v0", image_size=(48, 64))
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@given(arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5)).map(lambda s: (2 * s[0], 2 * s[1], 3))))
def test_halving_is_the_rounded_mean_of_blocks(frame: np.ndarray) -> None:
    rows, columns, _ = frame.shape
    means = frame.reshape(rows // 2, 2, columns // 2, 2, 3).astype(float).mean(axis=(1, 3))
    np.testing.assert_array_equal(halve(frame), np.floor(means + 0.5))


def test_small_frames_are_the_large_ones_made_small() -> None:
    model = compile_scene(Scene())
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    frames = {}
    for size in ((240, 320), (480, 640)):
        with FrameRenderer(model, size) as renderer:
            frames[size] = renderer.render(data, "lateral")
    np.testing.assert_array_equal(frames[240, 320], halve(frames[480, 640]))


def test_collision_shapes_are_not_part_of_the_picture() -> None:
    model = compile_scene(Scene())
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with FrameRenderer(model, (120, 160)) as renderer:
        before = renderer.render(data, "lateral")
        hidden = model.geom_group == 3
        assert hidden.any()
        model.geom_rgba[hidden] = (0.0, 1.0, 0.0, 1.0)
        np.testing.assert_array_equal(renderer.render(data, "lateral"), before)


def test_two_renderers_do_not_disturb_each_other() -> None:
    models = [compile_scene(Scene(surface=surface)) for surface in ("oak", "mat")]
    datas = [mujoco.MjData(model) for model in models]
    for model, data in zip(models, datas, strict=True):
        mujoco.mj_forward(model, data)
    alone = []
    for model, data in zip(models, datas, strict=True):
        with FrameRenderer(model, (48, 64)) as renderer:
            alone.append(renderer.render(data, "top"))
    with FrameRenderer(models[0], (48, 64)) as one, FrameRenderer(models[1], (48, 64)) as other:
        for _ in range(2):
            np.testing.assert_array_equal(one.render(datas[0], "top"), alone[0])
            np.testing.assert_array_equal(other.render(datas[1], "top"), alone[1])


@pytest.mark.parametrize("end", ["close", "forget"])
def test_a_renderer_that_goes_leaves_the_others_as_they_are(end: str) -> None:
    model = compile_scene(Scene())
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with FrameRenderer(model, (48, 64)) as staying:
        going = FrameRenderer(model, (48, 64))
        going.render(data, "top")
        before = staying.render(data, "top")
        if end == "close":
            going.close()
        del going
        gc.collect()
        np.testing.assert_array_equal(staying.render(data, "lateral"), staying.render(data, "lateral"))
        np.testing.assert_array_equal(staying.render(data, "top"), before)


def test_size_is_checked() -> None:
    with pytest.raises(InvalidInputError, match="image_size"):
        FrameRenderer(compile_scene(Scene()), (1000, 1000))


def test_renderer_has_a_name() -> None:
    assert len(gl_renderer()) > 3


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is Linux's")
def test_broken_gl_is_said_with_its_cure(tmp_path: Path) -> None:
    code = DRAW + "env.reset(seed=0)"
    done = run(code, MUJOCO_GL="egl", __EGL_VENDOR_LIBRARY_FILENAMES=str(tmp_path / "missing.json"))
    assert done.returncode == 1
    assert "RenderingError" in done.stderr.splitlines()[-1]
    assert "libegl1 libopengl0 libgl1-mesa-dri" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is Linux's")
def test_without_egl_only_drawing_fails() -> None:
    # A loader that finds no libEGL stands for a machine without it.
    hide = """
import ctypes, os
for name in ("DISPLAY", "MUJOCO_GL"):
    os.environ.pop(name, None)
load = ctypes.CDLL.__init__
def without_egl(self, name, *args, **kwargs):
    if name and "EGL" in str(name):
        raise OSError(f"{name}: cannot open shared object file")
    load(self, name, *args, **kwargs)
ctypes.CDLL.__init__ = without_egl
import gymnasium as gym, gym_autoarm
env = gym.make("gym_autoarm/PickIntoBox-v0", cameras=False)
env.reset(seed=0)
env.step(env.action_space.sample())
from gym_autoarm.errors import RenderingError
try:
    env.unwrapped.frame("top")
except RenderingError as error:
    print(error.cure)
"""
    done = run(hide)
    assert done.returncode == 0, done.stderr
    assert "libegl1" in done.stdout


@pytest.mark.parametrize("end", ["", "del env", "env.close()"], ids=["forgotten", "deleted", "closed"])
def test_environment_that_nobody_closed_leaves_quietly(end: str) -> None:
    # weakref.finalize and friends may have been used before the first frame: exit handlers must run in the right order.
    done = run(f"import weakref\nweakref.finalize(weakref.WeakSet(), print)\n{DRAW}env.reset(seed=0)\n{end}")
    assert (done.returncode, done.stderr) == (0, "")


def test_random_frame_is_not_blank() -> None:
    model = compile_scene(Scene())
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with FrameRenderer(model, (48, 64)) as renderer:
        assert renderer.render(data, "top").std() > 10


FORK = """
import multiprocessing, sys
import numpy as np
from gym_autoarm.env import PickIntoBoxEnv

def child(pipe, cameras):
    try:
        env = PickIntoBoxEnv(image_size=(24, 32), cameras=cameras)
        env.reset(seed=0)
        pipe.send("drawn" if cameras else "moved")
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")

if sys.argv[1] == "drawn":
    env = PickIntoBoxEnv(image_size=(24, 32))
    env.reset(seed=0)
context = multiprocessing.get_context("fork")
for cameras in (True, False):
    ours, theirs = context.Pipe()
    process = context.Process(target=child, args=(theirs, cameras))
    process.start()
    print(ours.recv() if ours.poll(60) else "hangs", flush=True)
    process.kill()
if sys.argv[1] == "drawn":
    print(env.step(np.zeros(6, np.float32))[0]["pixels"]["top"].std() > 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize("before", ["drawn", "not drawn"])
def test_a_fork_of_a_process_that_has_drawn_does_not_draw_and_says_so(before: str) -> None:
    done = subprocess.run([sys.executable, "-c", FORK, before], capture_output=True, text=True, timeout=150, check=True)
    first, second, *rest = done.stdout.splitlines()
    assert first.startswith("RenderingError: multiprocessing: this process was forked") == (before == "drawn")
    assert 'context="spawn"' in first or first == "drawn"
    assert second == "moved"  # physics needs no context
    assert rest in ([], ["True"])
