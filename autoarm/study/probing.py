"""What can be read off a policy's features by a straight line, and whether moving what is read moves the action."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.interp.methods.probes import (
    PIXELS,
    collect_features,
    group_folds,
    predict_numbers,
    probe_sites,
    r_squared,
    score_above,
)
from autoarm.interp.methods.steering import fit_probe, steer
from autoarm.interp.model.capture import capture
from autoarm.interp.model.named_array import NamedArray
from autoarm.interp.model.tokens import camera_name
from autoarm.interp.observations.probe_data import LabelledFrames, Target, dataset_batches, dataset_frames, input_size
from autoarm.interp.observations.probe_data import labelled_frames as label
from autoarm.interp.observations.rendered import action_scale, expert_chunks
from autoarm.policies.lerobot import LeRobotPolicy
from autoarm.study.rows import Row
from autoarm.study.units import Unit, mean_or_none
from autoarm.study.workspace import Workspace
from gym_autoarm.rng import stream

Features = dict[str, NDArray[np.float32]]

BACKBONE: Final = "backbone"
ATTENTION: Final = "decoder.0.cross_attention"
"""What the decoder's cross-attention has gathered for each slot: the vector of H2."""
SITES: Final = ("encoder.out", ATTENTION, "decoder.out")
_TARGETS: Final[tuple[Target, ...]] = ("cube", "yaw", "joints", "action", "grasped", "stage")
_STRIDE: Final = 12
"""Of the demonstrations' frames: neighbours are nearly copies of each other."""


def probes(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Probes on rendered scenes, on demonstrations, and from these to those."""
    policy = workspace.policy(unit.arm, unit.seed)
    dataset = workspace.study.arms[unit.arm].dataset
    scenes, yaw = workspace.scenes(dataset)
    unseen = features(policy, scenes.batches(policy))
    targets = {"cube": np.asarray(scenes.xy), "yaw": yaw}
    rng = stream(unit.seed, workspace.study.name, "probes", unit.arm)
    found = {site: cross_validated(values, targets, rng) for site, values in unseen.items()}
    rows = _score_rows(unit, found, "unseen")
    rows += [
        unit.row(
            "above_pixels",
            {"site": site, "target": name, "place": "unseen"},
            score_above(r2, found[PIXELS][name][0]),
        )
        for site, scores in found.items()
        if PIXELS in found and site != PIXELS
        for name, (r2, _) in scores.items()
    ]
    sample = workspace.sample(policy, dataset)
    starts = np.flatnonzero(sample.step == 0)
    seen = features(policy, sample.batches(policy, starts))
    rows += [
        unit.row(
            "r2",
            {"site": site, "target": "cube", "place": "transfer"},
            transferred(seen[site], sample.cube[starts], sample.spot[starts], unseen[site], targets["cube"]),
        )
        for site in unseen
    ]
    rows += _on_demonstrations(workspace, unit, policy, dataset)
    return rows + _above_untrained(workspace, unit, found, targets, rng)


def features(policy: LeRobotPolicy, batches: Any) -> Features:
    """At `SITES` and of the frames, and both cameras' maps side by side as `BACKBONE`."""
    cameras = [f"backbone.{camera_name(key)}" for key in policy.policy.config.image_features]
    found = collect_features(policy.policy, batches, [*cameras, *SITES])
    maps = [found.pop(camera) for camera in cameras]
    return {**({BACKBONE: np.concatenate(maps, axis=1)} if maps else {}), **found}


def cross_validated(
    values: NDArray[np.float32], targets: dict[str, NDArray[Any]], rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """R2 of each target on held-out rows, and that of the control task, in which rows exchange their labels."""
    rows = np.arange(len(values))
    other = rng.permutation(rows)
    columns = [array[order] for array in targets.values() for order in (rows, other)]
    predicted = predict_numbers(values, np.concatenate(columns, axis=1), group_folds(rows), rows)
    edges = np.cumsum([column.shape[1] for column in columns])[:-1]
    guesses = np.split(predicted, edges, axis=1)
    scores = [float(np.mean(r_squared(truth, guess))) for truth, guess in zip(columns, guesses, strict=True)]
    return {name: (scores[2 * number], scores[2 * number + 1]) for number, name in enumerate(targets)}


def transferred(
    values: NDArray[Any], truth: NDArray[Any], groups: NDArray[Any], others: NDArray[Any], wanted: NDArray[Any]
) -> float:
    """R2 on other rows of a probe that was fitted to some."""
    count = len(values)
    fold = np.arange(count), np.arange(count, count + len(others))
    labels = np.concatenate([groups, np.full(len(others), -1)])
    targets = np.concatenate([truth, wanted])
    predicted = predict_numbers(np.concatenate([values, others]), targets, [fold], labels)
    return float(np.mean(r_squared(wanted, predicted[count:])))


def _on_demonstrations(workspace: Workspace, unit: Unit, policy: LeRobotPolicy, dataset: str) -> list[Row]:
    labels = _labels(workspace, dataset)
    if len(np.unique(labels.spot)) < 2:
        return []
    folder = workspace.dataset(dataset)
    frames = dataset_frames(folder, input_size(policy, workspace.effort.image_size))
    values = features(policy, dataset_batches(policy, frames, labels))
    rows = []
    for score in probe_sites(values, labels, _possible(labels), seed=unit.seed):
        at = {"site": score.site, "target": score.target, "place": "demonstrations"}
        metric = "r2" if score.metric == "r2" else "balanced_accuracy"
        rows += [
            unit.row(metric, at, score.score),
            unit.row("control", at, score.control),
            unit.row("selectivity", at, score.selectivity),
        ]
    return rows


def _labels(workspace: Workspace, dataset: str) -> LabelledFrames:
    folder = workspace.dataset(dataset)
    known: dict[str, LabelledFrames] = workspace.kept.setdefault("labels", {})
    if dataset not in known:
        known[dataset] = label(folder).every(_STRIDE)
    return known[dataset]


def _possible(labels: LabelledFrames) -> list[Target]:
    """Targets; of classes those that every spot has, as each is left out in turn."""
    spots = np.unique(labels.spot)

    def everywhere(name: Target) -> bool:
        classes = labels.target(name)
        return all(len(np.unique(classes[labels.spot != spot])) > 1 for spot in spots)

    return [name for name in _TARGETS if name not in ("grasped", "stage") or everywhere(name)]


def _above_untrained(
    workspace: Workspace,
    unit: Unit,
    found: dict[str, dict[str, tuple[float, float]]],
    targets: dict[str, NDArray[Any]],
    rng: np.random.Generator,
) -> list[Row]:
    twin = workspace.twin(unit.arm)
    if twin is None:
        return []
    policy = workspace.policy(twin, unit.seed)
    scenes, _ = workspace.scenes(workspace.study.arms[unit.arm].dataset)
    values = features(policy, scenes.batches(policy))
    rows = []
    for site in found.keys() & values.keys():
        for name, (r2, _) in cross_validated(values[site], targets, rng).items():
            at = {"site": site, "target": name, "place": "unseen"}
            rows.append(unit.row("above_untrained", at, score_above(found[site][name][0], r2)))
    return rows


def _score_rows(unit: Unit, found: dict[str, dict[str, tuple[float, float]]], place: str) -> list[Row]:
    rows = []
    for site, scores in found.items():
        for name, (r2, control) in scores.items():
            at = {"site": site, "target": name, "place": place}
            rows += [
                unit.row("r2", at, r2),
                unit.row("control", at, control),
                unit.row("selectivity", at, score_above(r2, control)),
            ]
    return rows


def steering(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Make a probe of the cube's position read another place: does the action go there?"""
    policy = workspace.policy(unit.arm, unit.seed)
    dataset = workspace.study.arms[unit.arm].dataset
    scenes, _ = workspace.scenes(dataset)
    looks = workspace.looks(dataset)
    xy = np.asarray(looks.points)
    held = np.array([place != "trained" for place in looks.places])
    here, there = looks.here[held], looks.there[held]
    batch = looks.frames.batch(policy)
    clean = {name: rows_of(value, there) for name, value in batch.items()}
    source = {name: rows_of(value, here) for name, value in batch.items()}
    rows = []
    for site in SITES:
        # Millimetres of a probe matter: metres would make its weights tiny and the ridge's offset the whole answer.
        values = _captured(policy, scenes.batches(policy), site)
        probe = fit_probe(values, scenes.xy * 1000)
        expert = action_scale(policy).normalise(expert_chunks(looks.frames, workspace.chunk))[here]
        rng = stream(unit.seed, workspace.study.name, "steering", site)
        found = steer(
            policy.policy,
            clean,
            source,
            site,
            probe,
            (xy[here] - xy[there]) * 1000,
            rng,
            workspace.effort.draws,
            expert,
        )
        effect, control = mean_or_none(found.effect), mean_or_none(found.control)
        above = None if effect is None or control is None else effect - control
        rows += [
            unit.row("effect", {"site": site}, effect),
            unit.row("random", {"site": site}, control),
            unit.row("effect_above_random", {"site": site}, above),
            unit.row("towards_expert", {"site": site}, mean_or_none(found.towards_expert)),
            unit.row("relative_norm", {"site": site}, mean_or_none(found.norm)),
        ]
    return rows


def _captured(policy: LeRobotPolicy, batches: Any, site: str) -> NamedArray:
    return capture(policy.policy, batches, [site])[site]


def rows_of(value: Any, numbers: NDArray[np.int64]) -> Any:
    """Some observations of a batch's entry; what is no tensor is the same for all."""
    import torch

    return value[torch.from_numpy(numbers)] if isinstance(value, torch.Tensor) else value
