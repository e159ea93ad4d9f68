"""ACT at LeRobot's default size fits in the memory of an ordinary machine with everything looked at."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LIMIT = 6e9
"""Bytes."""

# A process of its own, whose largest memory is that of this and nothing else. Linux counts it in KiB.
SCRIPT = """
import json, resource
import numpy as np, torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from autoarm.interp.model.capture import capture
from autoarm.interp.model.intervene import intervene, replace
from autoarm.interp.methods.memory import split_action
from autoarm.interp.methods.recorder import record_attention
from autoarm.interp.model.sites import sites
from autoarm.interp.model.tokens import token_layout

torch.manual_seed(0)
images = {f"observation.images.{c}": PolicyFeature(FeatureType.VISUAL, (3, 480, 640)) for c in ("top", "lateral")}
policy = ACTPolicy(ACTConfig(
    device="cpu",
    pretrained_backbone_weights=None,
    input_features={"observation.state": PolicyFeature(FeatureType.STATE, (6,)), **images},
    output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
)).eval()
shapes = {key: feature.shape for key, feature in policy.config.input_features.items()}
clean, source = ({key: torch.randn(1, *shape) for key, shape in shapes.items()} for _ in range(2))
expected = {name: policy.predict_action_chunk(batch) for name, batch in (("clean", clean), ("source", source))}
found = capture(policy, [source], sites(policy))
with intervene(policy, {"encoder.out": replace(found["encoder.out"])}):
    replaced = policy.predict_action_chunk(clean)
with intervene(policy, {"decoder.self_attention": replace(found["decoder.0.self_attention"])}):
    inert = policy.predict_action_chunk(clean)
split = split_action(policy, clean)
contributions = split.contributions()
with record_attention(policy, encoder=True) as recorder:
    taken = [policy.select_action(batch) for batch in (clean, source, clean)]
print(json.dumps({
    "parameters": sum(parameter.numel() for parameter in policy.parameters()),
    "tokens": token_layout(policy).size,
    "sites": len(found),
    "replaced": torch.equal(replaced, expected["source"]),
    "inert": torch.equal(inert, expected["clean"]),
    "taken": torch.equal(torch.stack(taken, dim=1), expected["clean"][:, :3]),
    "error": split.error,
    "sum": float(np.abs(contributions.sum(axis=2) - split.mlp).max()),
    "rollout": float(recorder.steps[1].rollout().sum(axis=-1).max()),
    "memory": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units")
def test_default_act_is_looked_into_in_six_gigabytes() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["parameters"] == pytest.approx(51.6e6, rel=0.01)
    assert (found["tokens"], found["sites"]) == (602, 61)
    assert found["replaced"]
    assert found["inert"]
    assert found["taken"]
    assert found["error"] < 1e-5
    assert found["sum"] < 1e-9
    assert found["rollout"] == pytest.approx(1.0, abs=1e-3)
    assert found["memory"] < LIMIT
