from __future__ import annotations

import av
import numpy as np
import pytest

from autoarm.evaluation.video import VIEW_SIZE, VideoWriter, caption, film, film_beside, side_by_side
from gym_autoarm import spec
from gym_autoarm.env import PickIntoBoxEnv
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.sampling import SceneDistribution


def read(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        facts = (stream.codec_context.name, stream.pix_fmt, stream.average_rate)
        return facts, [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def gradient(height, width, blue):
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    frame[..., 2] = blue
    return frame


def test_frames_come_back_in_a_format_that_browsers_play(tmp_path):
    file = tmp_path / "new" / "video.mp4"
    frames = [gradient(64, 96, blue) for blue in (0, 100, 200)]
    with VideoWriter(file, fps=30) as video:
        for frame in frames:
            video.write(frame)
    facts, decoded = read(file)
    assert facts == ("h264", "yuv420p", 30)
    assert len(decoded) == 3
    for frame, again in zip(frames, decoded, strict=True):
        assert np.abs(frame.astype(int) - again).mean() < 6
    # The index precedes the frames, so that the file plays while it loads.
    data = file.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_odd_sides_are_made_even(tmp_path):
    with VideoWriter(tmp_path / "video.mp4") as video:
        video.write(gradient(63, 97, 0))
    _, (frame,) = read(tmp_path / "video.mp4")
    assert frame.shape == (64, 98, 3)


def test_nothing_is_left_of_a_video_that_failed(tmp_path):
    def interrupted():
        with VideoWriter(tmp_path / "video.mp4") as video:
            video.write(gradient(64, 96, 0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(InvalidInputError, match="needs a frame"), VideoWriter(tmp_path / "video.mp4"):
        pass
    with VideoWriter(tmp_path / "whole.mp4") as video:
        video.write(gradient(64, 96, 0))
        with pytest.raises(InvalidInputError, match="after one of"):
            video.write(gradient(32, 96, 0))
    assert [path.name for path in tmp_path.iterdir()] == ["whole.mp4"]


def test_the_caption_is_written_above_an_untouched_frame():
    frame = gradient(100, 300, 7)
    with_text, without = caption(frame, "expert"), caption(frame, "")
    rows = len(with_text) - len(frame)
    np.testing.assert_array_equal(with_text[rows:], frame)
    assert with_text[:rows].max() > 200 > without[:rows].max()


def test_views_stand_in_the_order_of_the_contract():
    views = {camera: gradient(4, 6, 10 * place) for place, camera in enumerate(spec.CAMERAS)}
    both = side_by_side(dict(reversed(views.items())))
    np.testing.assert_array_equal(both[:, :6], views["top"])
    np.testing.assert_array_equal(both[:, 6:], views["lateral"])


def test_a_film_shows_the_run_that_its_actions_come_from(tmp_path):
    scene = SceneDistribution(cube="spots").sample(5)
    env = PickIntoBoxEnv(VIEW_SIZE)
    start, _ = env.reset(seed=1, options={"scene": scene})
    goal = start["agent_pos"] + np.array([-40, 20, -20, 0, 0, 30], np.float32)
    actions = np.repeat(goal[None], 30, axis=0)
    end, *_ = env.step_chunk(actions)
    env.close()
    film(tmp_path / "video.mp4", scene, actions, "")
    _, frames = read(tmp_path / "video.mp4")
    assert len(frames) == len(actions) + 1
    rows = frames[0].shape[0] - VIEW_SIZE[0]
    first, last = (side_by_side(observation["pixels"]).astype(int) for observation in (start, end))
    moved = np.abs(first - last).mean()
    assert np.abs(first - frames[0][rows:]).mean() < moved / 2
    assert np.abs(last - frames[-1][rows:]).mean() < moved / 2


def test_who_goes_on_alone_is_filmed_like_who_was_beside_another(tmp_path):
    scene = SceneDistribution(cube="spots").sample(3)
    still = np.tile(np.asarray(scene.start, np.float32), (4, 1))
    film_beside(tmp_path / "both.mp4", scene, {"long": still, "short": still[:1]})
    film_beside(tmp_path / "one.mp4", scene, {"long": still})
    (_, both), (_, one) = read(tmp_path / "both.mp4"), read(tmp_path / "one.mp4")
    assert len(both) == len(one) == len(still) + 1
    width = one[0].shape[1]
    apart = [
        np.abs(beside[40:, :width].astype(int) - alone[40:]).mean() for beside, alone in zip(both, one, strict=True)
    ]
    assert max(apart) < 1  # what the codec loses
