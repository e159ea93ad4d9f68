"""Attention over a whole episode: recorded from a dataset or a live run, saved as data, and drawn as a video."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from autoarm.evaluation.backend import Robot, check_robot
from autoarm.interp.methods.attention import OVERLAY_COLOUR, OVERLAY_OPACITY
from autoarm.interp.methods.summary import effective_tokens, shares
from autoarm.interp.model.arrays import save_arrays
from autoarm.interp.model.tokens import TokenLayout, check_act, token_layout
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError

if TYPE_CHECKING:
    from autoarm.interp.methods.recorder import AttentionStep
    from gym_autoarm.scene import Scene

Weights = NDArray[np.float32]
Frame = NDArray[np.uint8]
Scale = Literal["shared", "camera"]
"""One colour scale for all cameras, which can then be compared, or one for each, which shows faint attention."""

_BATCH: Final = 16
"""Frames that go through the network at once."""


@dataclass(frozen=True)
class Selection:
    """Which part of the cross-attention to keep.

    Attributes:
        layer: Number of the decoder layer; negative numbers count from its end.
        head: One head, or the mean over all.
        slot: One slot of the chunk, or the mean over all.
    """

    layer: int = -1
    head: int | None = None
    slot: int | None = None

    def check(self, policy: Any) -> None:
        """Raise `InvalidInputError` unless a policy has this layer, head and slot."""
        config, layers = check_act(policy).config, len(policy.model.decoder.layers)
        _check_number("layer", self.layer, -layers, layers)
        for name, number, size in (("head", self.head, config.n_heads), ("slot", self.slot, config.chunk_size)):
            if number is not None:
                _check_number(name, number, 0, size)

    def of(self, weights: Weights) -> Weights:
        """The selected part of one layer's weights, `(..., head, slot, token)` to `(..., token)`."""
        heads = weights.mean(axis=-3) if self.head is None else weights[..., self.head, :, :]
        return np.asarray(heads.mean(axis=-2) if self.slot is None else heads[..., self.slot, :], np.float32)

    def __str__(self) -> str:
        head = "all heads" if self.head is None else f"head {self.head}"
        slot = "all slots" if self.slot is None else f"slot {self.slot}"
        return f"{head}, {slot}"


@dataclass(frozen=True, eq=False)
class AttentionTrack:
    """Attention at each step of an episode.

    Attributes:
        weights: `(step, token)`; sums to 1 over the tokens.
        effective: Effective number of tokens of each head of the layer, mean over the slots kept, `(step, head)`.
        layout: Layout of the tokens.
        selection: Which part of the attention was kept.
    """

    weights: Weights
    effective: Weights
    layout: TokenLayout
    selection: Selection = field(default_factory=Selection)

    def __len__(self) -> int:
        return len(self.weights)

    def maps(self, camera: str) -> Weights:
        """A camera's grid at each step, `(step, row, column)`."""
        return self.weights[:, self.layout.camera(camera)]

    def shares(self) -> dict[str, Weights]:
        """Share of the attention on each camera and each other token, `(step,)`; all sum to 1."""
        return shares(self.weights, self.layout)

    def ranges(self, scale: Scale, *, from_zero: bool = False) -> dict[str, tuple[float, float]]:
        """Values that get no colour and full colour, by camera: the episode's smallest and largest.

        Args:
            scale: One range for all cameras, or one for each.
            from_zero: Begin at 0, so that colour is proportional to attention; a mean over heads and slots, nearly the
                same everywhere, then shows no structure.
        """
        if scale not in get_args(Scale):
            raise InvalidInputError(f"{scale!r} is unknown", field="scale", cure="choose shared or camera")
        each = {
            camera: (float(grid.min()), float(grid.max()))
            for camera in self.layout.grids
            if (grid := self.maps(camera)).size
        }
        if from_zero:
            each = {camera: (0.0, top) for camera, (_, top) in each.items()}
        if scale == "camera" or not each:
            return each
        lows, tops = zip(*each.values(), strict=True)
        return dict.fromkeys(each, (min(lows), max(tops)))

    def save(self, path: Path) -> None:
        """Write it as npz, together with each camera's maps and each group's shares."""
        arrays: dict[str, NDArray[Any]] = {"weights": self.weights, "effective_tokens": self.effective}
        arrays |= {f"map.{camera}": self.maps(camera) for camera in self.layout.grids}
        arrays |= {f"share.{group}": values for group, values in self.shares().items()}
        chosen = (self.selection.layer, self.selection.head, self.selection.slot)
        arrays["selection"] = np.array([np.nan if number is None else number for number in chosen])
        arrays["vectors"] = np.array(self.layout.vectors, np.str_)
        arrays["cameras"] = np.array(list(self.layout.grids), np.str_)
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> AttentionTrack:
        """Read what `save` wrote. Raises `InvalidFileError` if it is something else."""
        try:
            with np.load(path, allow_pickle=False) as found:
                grids = {str(name): found[f"map.{name}"].shape[1:] for name in found["cameras"]}
                layer, head, slot = (None if np.isnan(number) else int(number) for number in found["selection"])
                layout = TokenLayout(tuple(map(str, found["vectors"])), grids)
                weights, effective = found["weights"], found["effective_tokens"]
        except (OSError, ValueError, KeyError) as error:
            raise InvalidFileError(f"no recorded attention: {error}", file=path, cure="record it again") from error
        return cls(weights, effective, layout, Selection(-1 if layer is None else layer, head, slot))


def dataset_attention(
    policy: Any, states: NDArray[np.float32], frames: Mapping[str, Frame], selection: Selection | None = None
) -> AttentionTrack:
    """Attention of a policy at each frame of a recorded episode.

    Args:
        policy: A `LeRobotPolicy` around an ACT.
        states: Joint positions `(steps, 6)`.
        frames: Frames of each camera, `(steps, height, width, 3)`.
        selection: Which part to keep; by default the last layer's mean over heads and slots.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
        InvalidInputError: If the policy has no such layer, head or slot, or needs a camera that `frames` lack.
    """
    from torch import cat

    from autoarm.interp.model.capture import capture_each
    from autoarm.interp.model.sites import resolve

    chosen = selection or Selection()
    act = check_act(getattr(policy, "policy", policy))
    chosen.check(act)
    site = f"decoder.{chosen.layer % len(act.model.decoder.layers)}.cross_attention.weights"
    first: dict[str, Any] = {}

    def batches() -> Iterator[dict[str, Any]]:
        for start in range(0, len(states), _BATCH):
            each = [
                policy.batch({"agent_pos": states[i], "pixels": {name: video[i] for name, video in frames.items()}})
                for i in range(start, min(start + _BATCH, len(states)))
            ]
            batch = {key: cat([one[key] for one in each]) for key in act.config.input_features if key in each[0]}
            first.update(first or batch)
            yield batch

    # The next frames are prepared while the network runs on these.
    found = [values[site] for values in capture_each(act, prefetch(batches()), resolve(act, [site]))]
    return _track([chosen.of(part) for part in found], found, token_layout(act, first), chosen)


def live_attention(
    policy: Any,
    scene: Scene,
    seed: int,
    selection: Selection | None = None,
    *,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
    time_limit: int = spec.TIME_LIMIT,
    robot: Robot | None = None,
) -> tuple[AttentionTrack, dict[str, Frame], bool]:
    """Run a policy for an episode and record its attention at every step, without changing its actions.

    Args:
        policy: A `LeRobotPolicy` around an ACT.
        scene: Where the episode starts.
        seed: Random seed of the policy and the environment.
        selection: Which part to keep.
        image_size: Height and width of the frames.
        time_limit: Steps before the episode is given up.
        robot: A real arm to act with instead of the simulated one; `image_size` is then that of its cameras.

    Returns:
        The track, each camera's frames `(steps, height, width, 3)`, and whether the cube came to lie in the box.
    """
    from autoarm.evaluation.source import PolicySource
    from autoarm.interp.methods.recorder import record_attention

    chosen = selection or Selection()
    chosen.check(check_act(policy.policy))
    kept: list[Weights] = []
    raw: list[Weights] = []
    layouts: list[TokenLayout] = []
    seen: list[Mapping[str, Frame]] = []

    def keep(step: AttentionStep) -> None:
        layer = step.decoder[chosen.layer]
        kept.append(chosen.of(layer))
        raw.append(_effective(layer, chosen))
        layouts.append(step.layout)

    if robot is not None:
        check_robot(robot, policy)
        scene, image_size = robot.scene(scene), robot.image_size
    env = PolicySource(policy, image_size=image_size, time_limit=time_limit, robot=robot).make_env(cameras=True)
    try:
        observation, info = env.reset(seed=seed, options={"scene": scene})
        policy.reset(seed, info)
        done = False
        with record_attention(policy, on_step=keep) as recorder:
            while not done:
                actions = policy.act(observation, info)
                seen.append(observation["pixels"])
                for number, action in enumerate(actions):
                    observation, _, terminated, truncated, info = env.step_chunk(action[None])
                    done = terminated or truncated
                    if done or number == len(actions) - 1:
                        break
                    recorder.look(observation)
                    seen.append(observation["pixels"])
    finally:
        env.close()
    frames = {camera: np.stack([pixels[camera] for pixels in seen]) for camera in layouts[0].grids}
    track = AttentionTrack(np.concatenate(kept), np.concatenate(raw), layouts[0], chosen)
    return track, frames, bool(info["is_success"])


def write_video(
    path: Path,
    track: AttentionTrack,
    frames: Mapping[str, Frame],
    scale: Scale = "shared",
    *,
    from_zero: bool = False,
) -> None:
    """Write the cameras side by side, tinted by attention, with the shares and the colour scale above.

    Args:
        path: Ending in `.mp4`.
        track: Attention at the same steps as the frames.
        frames: Frames of each camera in the track's layout `(steps, height, width, 3)`, all of one height.
        scale: One scale for all cameras, or one for each.
        from_zero: Begin the scale at 0 instead of at the smallest value.
    """
    from autoarm.evaluation.video import VideoWriter, caption

    ranges = track.ranges(scale, from_zero=from_zero)
    missing = [camera for camera in ranges if camera not in frames]
    if missing or any(len(frames[camera]) != len(track) for camera in ranges):
        raise InvalidInputError(
            f"no frames of {missing}" if missing else f"not {len(track)} frames of each camera",
            field="frames",
            cure="give those of the steps that were recorded",
        )
    parts = track.shares()
    maps = {camera: track.maps(camera) for camera in ranges}
    label = _scale_label(scale, ranges)

    def drawn(step: int) -> Frame:
        views = [tint(frames[camera][step], maps[camera][step], top, low) for camera, (low, top) in ranges.items()]
        shown = ", ".join(f"{group} {values[step]:.0%}" for group, values in parts.items())
        text = f"step {step} · attention: {shown} · {track.selection} · {label}"
        return caption(np.concatenate(views, axis=1), text)

    # Frames are drawn while those before them are compressed.
    with VideoWriter(path) as video:
        for frame in prefetch(map(drawn, range(len(track)))):
            video.write(frame)


def tint(frame: Frame, grid: Weights, top: float, low: float = 0.0) -> Frame:
    """As `autoarm.interp.methods.attention.overlay`, to within one grey level, but fast: by a lookup table a patch.

    Args:
        frame: RGB uint8 `(height, width, 3)`.
        grid: `(rows, columns)`.
        top: The value that gets the full colour.
        low: The value that gets no colour, as do those below it.
    """
    import cv2

    part = (grid - low) / (top - low) if top > low else np.zeros_like(grid)
    opacity = OVERLAY_OPACITY * np.clip(part, 0.0, 1.0)[..., None, None]
    # A patch has one colour: what becomes of each of the 256 values of a channel there is a short table.
    levels = np.arange(256)[:, None]
    tables = np.rint((1 - opacity) * levels + opacity * np.asarray(OVERLAY_COLOUR)).astype(np.uint8)
    # The edges that `overlay` has: a pixel belongs to the cell `pixel * cells // pixels`.
    down, across = (-(-np.arange(n + 1) * size // n) for n, size in zip(grid.shape, frame.shape, strict=False))
    tinted = np.empty_like(frame)
    for row, column in np.ndindex(*grid.shape):
        cell = np.s_[down[row] : down[row + 1], across[column] : across[column + 1]]
        if frame[cell].size:
            tinted[cell] = cv2.LUT(np.ascontiguousarray(frame[cell]), tables[row, column][None])
    return tinted


def prefetch[T](items: Iterable[T], count: int = 4) -> Iterator[T]:
    """The same items in order, made ahead of time by another thread, `count` at most."""
    with ThreadPoolExecutor(1) as thread:
        source = iter(items)
        end = object()
        made = deque(thread.submit(next, source, end) for _ in range(count))
        while (item := made.popleft().result()) is not end:
            made.append(thread.submit(next, source, end))
            yield item  # type: ignore[misc]  # not the end


def _scale_label(scale: Scale, ranges: Mapping[str, tuple[float, float]]) -> str:
    """A caption: the share of the attention that no colour and full colour mean for a patch."""
    if scale == "shared":
        low, top = next(iter(ranges.values()), (0.0, 0.0))
        return f"a patch: no colour {low:.1%}, full {top:.1%}"
    ends = ", ".join(f"{camera} {low:.1%} to {top:.1%}" for camera, (low, top) in ranges.items())
    return f"colour of a patch: {ends}"


def _track(
    kept: Sequence[Weights], raw: Iterable[Weights], layout: TokenLayout, selection: Selection
) -> AttentionTrack:
    effective = np.concatenate([_effective(each, selection) for each in raw])
    return AttentionTrack(np.concatenate(kept), effective, layout, selection)


def _effective(weights: Weights, selection: Selection) -> Weights:
    """`(step, head, slot, token)` to `(step, head)`."""
    each = effective_tokens(weights)
    return np.asarray(each.mean(axis=-1) if selection.slot is None else each[..., selection.slot], np.float32)


def _check_number(name: str, number: int, low: int, end: int) -> None:
    if not low <= number < end:
        raise InvalidInputError(f"the policy has no {name} {number}", field=name, cure=f"give {low} to {end - 1}")
