"""The demonstration: one small run from end to end, and what it does with folders that are there already."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import tyro
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.cli import main
from autoarm.commands.demo import Demo
from autoarm.commands.eval import Eval
from autoarm.data.dataset import read_collection
from autoarm.demo import run as demo
from autoarm.demo.run import REFERENCE_POLICY, DemoOutput, DemoResult, check_folder, file_name, run_demo
from autoarm.evaluation.evaluate import evaluate
from autoarm.policies import loading
from autoarm.training.checkpoint import save_policy
from autoarm.training.presets import CPU
from autoarm.training.processors import make_processors
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError
from gym_autoarm.sampling import SceneDistribution

pytestmark = pytest.mark.lengthy

IMAGE_SIZE = (96, 128)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small ACT policy with random weights, as training writes it."""
    torch.manual_seed(0)
    image = PolicyFeature(FeatureType.VISUAL, (3, *IMAGE_SIZE))
    joints = {"mean": torch.zeros(6), "std": torch.full((6,), 20.0)}
    colours = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    cameras = [f"observation.images.{camera}" for camera in spec.CAMERAS]
    config = ACTConfig(
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (6,)),
            **dict.fromkeys(cameras, image),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        device="cpu",
        **{**CPU.policy, "dim_model": 32, "dim_feedforward": 48, "n_heads": 4, "n_encoder_layers": 1},
    )
    stats = {"observation.state": joints, "action": joints, **dict.fromkeys(cameras, colours)}
    folder = tmp_path_factory.mktemp("policy") / "small-act"
    save_policy(folder, ACTPolicy(config), make_processors(config, stats, IMAGE_SIZE))
    return folder


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    """The folder of a run that was stopped after the demonstrations were recorded."""
    out = tmp_path_factory.mktemp("demo") / "out"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autoarm.evaluation.evaluate.evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            run_demo(out, str(checkpoint), episodes=1, image_size=IMAGE_SIZE)
    return out


@pytest.fixture(scope="module")
def recorded(interrupted: Path) -> dict[str, int]:
    """When each file of the demonstrations was written, before the run was taken up again."""
    return {str(path): path.stat().st_mtime_ns for path in (interrupted / "dataset").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def output(
    interrupted: Path, recorded: dict[str, int], checkpoint: Path, steps: list[tuple[str, int, int]]
) -> DemoOutput:
    (interrupted / "videos").mkdir()
    (interrupted / "videos" / "of-an-earlier-run.mp4").touch()
    return run_demo(interrupted, str(checkpoint), 0, 1, IMAGE_SIZE, lambda *step: steps.append(step))


def test_an_interrupted_run_leaves_demonstrations_and_no_result(interrupted: Path, recorded: dict[str, int]) -> None:
    assert recorded
    assert check_folder(interrupted) is not None


def test_demonstrations_are_kept_and_nothing_else_is(output: DemoOutput, recorded: dict[str, int]) -> None:
    assert recorded == {path: Path(path).stat().st_mtime_ns for path in recorded}
    assert not (output.report.parent / "videos" / "of-an-earlier-run.mp4").exists()


def test_one_demonstration_a_spot(output: DemoOutput) -> None:
    episodes = read_collection(output.report.parent / "dataset").episodes
    assert sorted(episode.spot or "" for episode in episodes) == sorted(spec.SPOTS)


def test_result_holds_each_policy_at_each_place(output: DemoOutput) -> None:
    loaded = DemoResult.load(output.result_file)
    assert loaded == output.result
    assert json.loads(output.result_file.read_text())["schema_version"] == 2
    measured = [(each.policy.name, each.setting.distribution["cube"]) for each in loaded.results]
    policies = ("small-act", "nearest", "expert")
    assert measured == [(policy, cube) for policy in policies for cube in ("spots", "everywhere")]
    # All meet the same scenes.
    for cube in ("spots", "everywhere"):
        own = [each for each in loaded.results if each.setting.distribution["cube"] == cube]
        assert own[0].rows[0].scene == own[1].rows[0].scene == own[2].rows[0].scene
    assert all(row.success for each in loaded.results if each.policy.name == "expert" for row in each.rows)


def test_attention_is_measured_and_shown(output: DemoOutput) -> None:
    shares = output.result.attention
    assert shares is not None
    assert list(shares) == ["latent", "state", *spec.CAMERAS]
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-4)
    assert (output.report.parent / "figures" / "attention.png").is_file()


def test_report_shows_the_videos(output: DemoOutput) -> None:
    page = output.report.read_text(encoding="utf-8")
    videos = [row.video for result in output.result.results for row in result.rows if row.video]
    assert len(videos) == 4  # the policy's at both places, each baseline's anywhere
    for video in videos:
        assert (output.report.parent / video).is_file()
        assert f'src="{video}"' in page


def test_command_of_a_result_repeats_it(output: DemoOutput) -> None:
    result = next(each for each in output.result.results if each.policy.name == "expert")
    assert result.setting.command[:2] == ["autoarm", "eval"]
    parsed = tyro.cli(Eval, args=result.setting.command[2:])
    assert (parsed.policy, parsed.episodes, parsed.seed, parsed.image_size) == ("expert", 1, 0, IMAGE_SIZE)
    again = evaluate(
        parsed.policy,
        distribution=SceneDistribution(cube=parsed.cube),
        episodes=parsed.episodes,
        seed=parsed.seed,
        image_size=parsed.image_size,
    )
    assert again.rows == [row.model_copy(update={"video": None}) for row in result.rows]


def test_progress_ends_where_it_said(output: DemoOutput, steps: list[tuple[str, int, int]]) -> None:
    last = {what: (done, wanted) for what, done, wanted in steps}
    assert list(last)[:2] == ["load the policy", "record demonstrations"]
    assert list(last)[-1] == "write the report"
    assert all(done == wanted for done, wanted in last.values())


# -- Folders and options -----------------------------------------------------------------------------------------------


def test_another_folder_is_refused_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit) as end:
        main(["demo", "--out", str(tmp_path), "--policy", "expert"])
    assert end.value.code == 2
    assert "something else here already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_damaged_marker_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"made_by": "someone else", "seed": 0}')
    with pytest.raises(InvalidFileError, match=r"demo\.json: made_by"):
        run_demo(tmp_path, "expert")
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InvalidFileError, match="something else"):
        run_demo(tmp_path / "out", "expert")


def test_other_demonstrations_are_recorded_for_another_seed(
    output: DemoOutput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(output.report.parent, out)
    seen = []

    def collect(folder: Path, **_: object) -> None:
        seen.append((folder.exists(), (out / "result.json").exists()))
        raise KeyboardInterrupt

    monkeypatch.setattr("autoarm.data.collect.collect", collect)
    for seed in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            run_demo(out, "expert", seed, image_size=IMAGE_SIZE)
    assert seen == [(True, False), (False, False)]


@pytest.mark.parametrize(("option", "field"), [({"episodes": 0}, "episodes"), ({"seed": -1}, "seed")])
def test_bad_options_write_nothing(tmp_path: Path, option: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        run_demo(tmp_path / "out", "expert", **option)  # type: ignore[arg-type]
    assert error.value.field == field
    assert not (tmp_path / "out").exists()


def test_a_missing_reference_policy_is_told_before_anything_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "shipped_policies", dict)
    with pytest.raises(InvalidInputError, match=r"'act-five-spots' is missing from this installation .*--policy"):
        run_demo(tmp_path / "out")
    with pytest.raises(InvalidInputError, match="no policy 'nobody'"):
        run_demo(tmp_path / "out", "nobody")
    assert not (tmp_path / "out").exists()


def test_the_command_runs_the_reference_policy() -> None:
    assert Demo().policy == REFERENCE_POLICY
    assert Demo().image_size == spec.IMAGE_SIZE
    assert set(demo.BASELINES) <= set(loading.BASELINES)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("act-five-spots", "act-five-spots"),
        ("../../etc", "etc"),
        ("a b/ü:x", "x"),
        ("..", "policy"),
        ("my:Own", "my-Own"),
    ],
)
def test_file_names_stay_in_their_folder(reference: str, name: str) -> None:
    assert file_name(reference) == name
