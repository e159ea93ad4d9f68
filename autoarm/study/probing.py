"""What linear probes read from a policy's features, and whether changing what they read changes the action."""

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
from autoarm.interp.observations.probe_data import FrameLabels, Target, dataset_batches, dataset_frames, input_size
from autoarm.interp.observations.probe_data import frame_labels as label
from autoarm.interp.observations.rendered import action_scale, expert_chunks
from autoarm.policies.lerobot import LeRobotPolicy
from autoarm.study.rows import Row
from autoarm.study.units import Unit, mean_or_none
from autoarm.study.workspace import Workspace
from gym_autoarm.rng import stream

Features = dict[str, NDArray[np.float32]]

BACKBONE: Final = "backbone"
ATTENTION: Final = "decoder.0.cross_attention"
"""Output of the decoder's cross-attention for each action: the vector that H2 is about."""
SITES: Final = ("encoder.out", ATTENTION, "decoder.out")
_TARGETS: Final[tuple[Target, ...]] = ("cube", "yaw", "joints", "action", "grasped", "stage")
_STRIDE: Final = 12
"""Every so many frames of the demonstrations are used: neighbouring frames are nearly equal."""


def probes(workspace: Workspace, unit: Unit, _done: list[Row]) -> list[Row]:
    """Probes on rendered scenes, on demonstrations, and fitted to demonstrations but tested on rendered scenes."""
    policy = workspace.policy(unit.recipe, unit.seed)
    dataset = workspace.study.arms[unit.recipe].dataset
    scenes, yaw = workspace.scenes(dataset)
    unseen = features(policy, scenes.batches(policy))
    targets = {"cube": np.asarray(scenes.xy), "yaw": yaw}
    rng = stream(unit.seed, workspace.study.name, "probes", unit.recipe)
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
    """Features at `SITES`, of the frames, and of the backbone (`BACKBONE`: both cameras' maps side by side)."""
    cameras = [f"backbone.{camera_name(key)}" for key in policy.policy.config.image_features]
    found = collect_features(policy.policy, batches, [*cameras, *SITES])
    maps = [found.pop(camera) for camera in cameras]
    return {**({BACKBONE: np.concatenate(maps, axis=1)} if maps else {}), **found}


def cross_validated(
    values: NDArray[np.float32], targets: dict[str, NDArray[Any]], rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """R² of each target on held-out rows, and R² of the control task, in which rows have exchanged their labels."""
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
    """R² of a probe that was fitted to `values` and `truth`, on the rows `others` with the truth `wanted`."""
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


def _labels(workspace: Workspace, dataset: str) -> FrameLabels:
    folder = workspace.dataset(dataset)
    known: dict[str, FrameLabels] = workspace.cache.setdefault("labels", {})
    if dataset not in known:
        known[dataset] = label(folder).every(_STRIDE)
    return known[dataset]


def _possible(labels: FrameLabels) -> list[Target]:
    """Targets that can be probed: classes only if at least two remain whichever spot is left out."""
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
    twin = workspace.untrained_counterpart(unit.recipe)
    if twin is None:
        return []
    policy = workspace.policy(twin, unit.seed)
    scenes, _ = workspace.scenes(workspace.study.arms[unit.recipe].dataset)
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
    """Change activations so that a probe reads another cube position: does the action go there?"""
    policy = workspace.policy(unit.recipe, unit.seed)
    dataset = workspace.study.arms[unit.recipe].dataset
    scenes, _ = workspace.scenes(dataset)
    pairs = workspace.paired_observations(dataset)
    xy = np.asarray(pairs.points)
    held = np.array([place != "trained" for place in pairs.places])
    position, nearest = pairs.position[held], pairs.nearest[held]
    batch = pairs.frames.batch(policy)
    clean = {name: take_rows(value, nearest) for name, value in batch.items()}
    source = {name: take_rows(value, position) for name, value in batch.items()}
    rows = []
    for site in SITES:
        # Millimetres of a probe matter: metres would make its weights tiny and the ridge's offset the whole answer.
        values = _captured(policy, scenes.batches(policy), site)
        probe = fit_probe(values, scenes.xy * 1000)
        expert = action_scale(policy).normalise(expert_chunks(pairs.frames, workspace.chunk))[position]
        rng = stream(unit.seed, workspace.study.name, "steering", site)
        found = steer(
            policy.policy,
            clean,
            source,
            site,
            probe,
            (xy[position] - xy[nearest]) * 1000,
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


def take_rows(value: Any, numbers: NDArray[np.int64]) -> Any:
    """Some observations of a batch's entry; an entry that is no tensor is common to all and returned as it is."""
    import torch

    return value[torch.from_numpy(numbers)] if isinstance(value, torch.Tensor) else value
