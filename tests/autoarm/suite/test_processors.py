"""Suites are drawn alike, and results are accepted, whatever kernels NumPy and BLAS pick for the processor."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from autoarm.evaluation.recorded import open_recorded
from autoarm.results.result import Result
from gym_autoarm.scene import Scene
from gym_autoarm.scene_data import is_same_scene, restore_scene, scene_changes

EXPERT = Path(__file__).parents[3] / "benchmarks/results/five-spots-v1/expert.json"
AVX512 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
KERNELS = {
    "as it is": {},
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "no AVX-512": {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": AVX512},
    "no AVX": {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": f"{AVX512} AVX2 FMA3"},
}
DRAW = """
import hashlib, json
from autoarm.suite.draw import plan_suite
from autoarm.suite.suite import load_suite
from autoarm.evaluation.evaluate import plan_episodes
from gym_autoarm.scene_data import scene_changes
from gym_autoarm.sampling import SceneDistribution
episodes = []
for name in ("five-spots-v1", "five-spots-v2"):
    suite = load_suite(name)
    episodes += plan_suite(suite, suite.counts("full", None))
for cube in ("spots", "everywhere"):
    episodes += plan_episodes(SceneDistribution(cube=cube), 200, 0)
scenes = [scene_changes(each.scene) for each in episodes]
print(len(scenes), hashlib.sha256(json.dumps(scenes).encode()).hexdigest())
"""


def draw(kernel):
    # What a processor lacks NumPy warns about on the error stream, and OpenBLAS takes the next best kernel.
    done = subprocess.run(
        [sys.executable, "-c", DRAW], env={**os.environ, **KERNELS[kernel]}, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def usual():
    return draw("as it is")


@pytest.mark.parametrize("kernel", [name for name in KERNELS if name != "as it is"])
def test_every_kernel_draws_the_same_scenes_to_the_last_bit(usual, kernel):
    assert draw(kernel) == usual


def last_bits_off(value):
    """The same data, each float the next one up."""
    if isinstance(value, dict):
        return {name: last_bits_off(own) for name, own in value.items()}
    if isinstance(value, list):
        return [last_bits_off(own) for own in value]
    return value * (1 + 2**-52) if isinstance(value, float) else value


def test_results_of_another_processor_are_accepted_and_run_from_their_own_scenes(tmp_path):
    result = Result.load(EXPERT)
    rows = [row.model_copy(update={"scene": last_bits_off(row.scene)}) for row in result.rows]
    file = tmp_path / "elsewhere.json"
    result.model_copy(update={"rows": rows}).save(file)
    recorded = open_recorded(file)
    assert [each.scene for each in recorded.episodes] == [restore_scene(row.scene) for row in rows]


def test_a_scene_that_differs_by_more_than_rounding_is_another():
    scene = Scene()

    def shifted(by):
        return json.loads(json.dumps(scene_changes(replace(scene, cube=replace(scene.cube, x=scene.cube.x + by)))))

    assert is_same_scene(shifted(1e-3), shifted(1e-3 + 1e-12))
    assert not is_same_scene(shifted(1e-3), shifted(1e-3 + 1e-7))
    assert not is_same_scene(shifted(1e-3), scene_changes(scene))
    assert not is_same_scene(scene_changes(replace(scene, surface="mat")), scene_changes(replace(scene, surface="oak")))
