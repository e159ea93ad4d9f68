"""A study of everything, small enough for a test."""

from __future__ import annotations

from typing import Any

import pytest

from autoarm.study.plan import Effort, Study, load_study


@pytest.fixture(scope="session")
def lookup_table() -> Study:
    """The study that the project carries."""
    return load_study("lookup-table-v1")


@pytest.fixture(scope="session")
def tiny_study(lookup_table: Study) -> Study:
    """The same with few positions and one demonstration at each of three spots."""
    data: dict[str, Any] = lookup_table.model_dump()
    spots = [(0.17, 0.0), (0.24, 0.11), (0.17, 0.11)]
    data["datasets"] = {"spots-5": {"seed": 1, "episodes_per_spot": 1, "spots": spots}}
    data["positions"] = {"inside": [(0.19, 0.07)], "outside": [(0.26, -0.03)]}
    data["arms"] = {name: lookup_table.arms[name].model_dump() for name in ("end-to-end", "untrained")}
    data["finetuning"] |= {"tuned": [(0.16, 0.055)], "third": [(0.225, -0.045)]}
    data["finetuning"]["grids"] = [
        {"parts": ["decoder-mlp", "encoder-mlp-0"], "demonstrations": [10], "steps": [300], "seeds": 1}
    ]
    for effort in data["effort"].values():
        effort["arms"] = ["end-to-end", "untrained"]
    return Study.model_validate(data)


@pytest.fixture(scope="session")
def tiny_effort() -> Effort:
    """A network that has learned nothing, in small frames."""
    return Effort(
        seeds=1,
        arms=["end-to-end", "untrained"],
        image_size=(96, 128),
        steps=1e-4,
        demonstrations=0.01,
        scenes=12,
        frames=9,
        draws=1,
        episodes=1,
        finetune_episodes=1,
        finetune_steps=0.01,
        parts=2,
        policy={
            "dim_model": 32,
            "dim_feedforward": 48,
            "n_heads": 4,
            "n_encoder_layers": 2,
            "chunk_size": 60,
            "n_action_steps": 60,
        },
        frame_size=(48, 64),
        time_limit=60,
    )
