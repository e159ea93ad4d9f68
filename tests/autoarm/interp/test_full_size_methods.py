"""The methods on ACT at LeRobot's default size, in the memory of an ordinary machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LIMIT = 6e9
"""Bytes."""

SCRIPT = """
import json, resource
import numpy as np, torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from autoarm.interp.methods.absorption import absorption
from autoarm.interp.methods.attribution import action_target, curves, integrated_gradients, patch_sums
from autoarm.interp.methods.knockout import heads, knock_out_parts, state_token
from autoarm.interp.methods.lens import action_lens
from autoarm.interp.methods.memory_units import unit_activations
from autoarm.interp.methods.probes import collect_features
from autoarm.interp.methods.token_mask import mask_tokens
from autoarm.interp.model.tokens import token_layout
from autoarm.interp.methods.tracing import ALL, trace
from autoarm.interp.methods.translator import fit_translators

torch.manual_seed(0)
images = {f"observation.images.{c}": PolicyFeature(FeatureType.VISUAL, (3, 480, 640)) for c in ("top", "lateral")}
policy = ACTPolicy(ACTConfig(
    device="cpu",
    pretrained_backbone_weights=None,
    input_features={"observation.state": PolicyFeature(FeatureType.STATE, (6,)), **images},
    output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
)).eval()
shapes = {key: feature.shape for key, feature in policy.config.input_features.items()}
clean, source = ({key: torch.randn(4, *shape) for key, shape in shapes.items()} for _ in range(2))
one, other = ({key: values[:1] for key, values in batch.items()} for batch in (clean, source))
rng, target = np.random.default_rng(0), action_target(0)
features = collect_features(policy, [clean, source], ["backbone.top", "encoder.out", "decoder.mlp.keys"])
found = trace(policy, clean, source, ["state", ALL])
absorbed = absorption(policy, clean, torch.randn(4, 6))
parts = [state_token(policy), heads(policy, "encoder.3.attention")[0]]
knocked = knock_out_parts(policy, clean, source, parts, rng)
masked = mask_tokens(policy, clean, [20], rng, draws=1)
lens = action_lens(policy, clean, fit_translators(policy, [clean]))
answers = unit_activations(policy, [clean, source])
contributions = integrated_gradients(policy, one, target, other, steps=2, most_steps=2, together=2)
importance = patch_sums(contributions.inputs, token_layout(policy, one))
faithful = curves(policy, one, target, other, importance, rng, points=3, draws=1, together=2)
print(json.dumps({
    "features": {name: values.shape for name, values in features.items()},
    "all": float(np.abs(found.encoder[:, :, 1, 2] - 1).max()),
    "layers": lens.chunks.shape[0],
    "units": answers.mean.shape[1],
    "curve": len(faithful.deletion),
    "effects": [float(np.nanmin(x)) for x in (absorbed.total, knocked.effects, masked.keep_top)],
    "memory": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
}))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units")
def test_methods_fit_in_six_gigabytes() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["features"]["encoder.out"] == [8, 1024]
    assert found["all"] < 1e-4
    assert (found["layers"], found["units"], found["curve"]) == (5, 3200, 3)
    assert min(found["effects"]) > 0
    assert found["memory"] < LIMIT
