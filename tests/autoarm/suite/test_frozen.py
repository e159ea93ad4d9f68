"""Released suites stay what they are: their content, and every scene to the last bit."""

from __future__ import annotations

import hashlib
import json

import pytest

from autoarm.suite.draw import plan_suite
from autoarm.suite.suite import load_suite, suite_names
from gym_autoarm.scene_data import scene_changes

CONTENT = {
    "five-spots-v1": "44feef3cf1418a1a61ac287de09ee459198be9d1d5a93454fcf46fe28d93553a",
    "five-spots-v2": "6f6cbe289650949da68d2b7ac411d2400824f23ac98a16455121b144af17f299",
}
SCENES = {
    "five-spots-v1": "249b8488ddff8a5d4e6423ca4c3f6cc817a67bb116833bb42b537d824ca60173",
    "five-spots-v2": "257776cd358869d757a220aa4de51cae034fbc4fb5f410a849e790b2adcb367a",
}
"""Digests of all that the episodes of size quick are."""


def test_every_suite_is_pinned():
    assert suite_names() == list(CONTENT) == list(SCENES)


@pytest.mark.parametrize("name", CONTENT)
def test_its_content_is_what_results_name(name):
    assert load_suite(name).sha256 == CONTENT[name]


@pytest.mark.parametrize("name", SCENES)
def test_its_episodes_are_the_same_to_the_last_bit(name):
    suite = load_suite(name)
    planned = plan_suite(suite, suite.counts("quick", None))
    episodes = [[*each.key, scene_changes(each.scene), each.latency and each.latency.model_dump()] for each in planned]
    text = json.dumps(episodes, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == SCENES[name]
