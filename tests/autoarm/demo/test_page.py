"""The report: right numbers, no request to anywhere, nothing unescaped, videos that play."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from autoarm.demo.page import AttentionView, write_report
from autoarm.evaluation.video import VideoWriter
from autoarm.interp.methods.attention import CrossAttention, TokenLayout
from autoarm.results.result import Result
from gym_autoarm.errors import InvalidFileError, InvalidInputError

MakeResult = Callable[..., Result]
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What a browser would find in a page: elements, addresses, text; fails on tags that do not pair up."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(file.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1][-1] += data.strip()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def addresses(self) -> list[str]:
        return [
            value for _, attrs in self.elements for name, value in attrs.items() if name in ("src", "href", "poster")
        ]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


def film(path: Path, frames: int = 15) -> None:
    with VideoWriter(path) as video:
        for number in range(frames):
            video.write(np.full((64, 96, 3), 10 * number, np.uint8))


def add_videos(rows: list[Any]) -> list[Any]:
    first = {row.success: number for number, row in reversed(list(enumerate(rows)))}
    return [
        row.model_copy(update={"video": f"videos/{row.group} {number} #1.mp4"})
        if number in first.values() or number == len(rows) - 1
        else row
        for number, row in enumerate(rows)
    ]


@pytest.fixture
def results(make_result: MakeResult, tmp_path: Path) -> list[Result]:
    made = [
        make_result("mine", "spots", [True] * 8 + [False] * 2, rows=add_videos),
        make_result("mine", "everywhere", [False] * 9 + [True]),
        make_result("expert", "spots", [True] * 10),
        make_result("expert", "everywhere", [True] * 10),
    ]
    for result in made:
        for row in result.rows:
            if row.video:
                film(tmp_path / row.video)
    return made


@pytest.fixture
def view() -> AttentionView:
    layout = TokenLayout(("latent", "state"), {"top": (1, 2), "lateral": (1, 2)})
    weights = np.array([[[0.05, 0.15, 0.1, 0.2, 0.3, 0.2]]], np.float32)
    frames = {camera: np.full((48, 64, 3), 99, np.uint8) for camera in layout.grids}
    return AttentionView("mine", "the start of an episode", frames, CrossAttention(weights, layout))


@pytest.fixture
def report(results: list[Result], view: AttentionView, tmp_path: Path) -> Path:
    command = ["autoarm", "demo", "--out", "a folder"]
    return write_report(tmp_path, results, title="A title", command=command, attention=view)


def test_table_says_what_was_measured(report: Path) -> None:
    # Wilson's intervals of 8/10, 1/10 and 10/10, from its closed form with z = 1.96.
    assert Page(report).cells == [
        ["Policy", "In the box", "Rate", "95 % interval", "Mean steps"],
        ["Cube at the training spots"],
        ["mine", "8 of 10", "80 %", "49–94 %", "154"],
        ["expert", "10 of 10", "100 %", "72–100 %", "154"],
        ["Cube anywhere in the work area"],
        ["mine", "1 of 10", "10 %", "2–40 %", "159"],
        ["expert", "10 of 10", "100 %", "72–100 %", "154"],
    ]


def test_page_says_what_happened_and_how_to_repeat_it(report: Path) -> None:
    text = Page(report).text
    assert "mine put the cube in the box in 8 of 10 episodes at the training spots and in 1 of 10 episodes" in text
    for part in ("autoarm demo --out 'a folder'", "autoarm eval mine --cube spots", "a GL", "3.17.0", "a machine"):
        assert part in text, part


def test_page_asks_for_nothing_from_elsewhere(report: Path) -> None:
    page = Page(report)
    source = report.read_text(encoding="utf-8")
    assert not page.all("script")
    assert [attrs["rel"] for attrs in page.all("link")] == ["icon"]
    assert not re.search(r"url\(|@import|https?:", re.sub(r"base64,[\w+/=]+", "", source))
    for address in page.addresses():
        assert address.startswith("data:") or (report.parent / unquote(address)).is_file(), address


def test_pictures_are_in_the_page(report: Path) -> None:
    images = Page(report).all("img")
    assert len(images) == 4  # rates, two maps, attention
    for image in images:
        assert image["alt"]
        assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_success_and_failure_are_beside_each_other(report: Path, results: list[Result]) -> None:
    page = Page(report)
    videos = page.all("video")
    rows = results[0].rows
    assert [unquote(video["src"]) for video in videos] == [rows[0].video, rows[8].video]
    for video in videos:
        assert {"controls", "muted", "playsinline"} <= video.keys()
        assert base64.b64decode(video["poster"].removeprefix("data:image/jpeg;base64,")).startswith(b"\xff\xd8")
    assert "failure (cube at centre, 300 steps, got as far as “grasp”)" in page.text


def test_attention_is_explained_with_its_numbers(report: Path) -> None:
    text = Page(report).text
    for part in ("the latent got 5.0 %", "joint positions got 15.0 %", "each would get 16.7 %", "1 × 2 patches"):
        assert part in text.replace("\N{NO-BREAK SPACE}", " "), part


def test_parts_that_do_not_exist_are_left_out(make_result: MakeResult, tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, [make_result("mine", "spots", [False] * 3)]))
    assert not page.all("video")
    assert "attention" not in page.text
    assert page.cells[2] == ["mine", "0 of 3", "0 %", "0–56 %", "–"]


def test_everything_is_escaped(make_result: MakeResult, tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>&\"{{ 7 * 7 }}"
    page = write_report(tmp_path, [make_result(evil, "spots", [True, False])], title=evil, command=[evil], data=evil)
    parsed = Page(page)
    assert not parsed.all("script")
    assert parsed.text.count("{{ 7 * 7 }}") >= 4
    assert "<script" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("video", ["../secret.mp4", "{absolute}", "javascript:alert(1)", "missing.mp4", "videos"])
def test_only_videos_of_the_folder_are_shown(video: str, make_result: MakeResult, tmp_path: Path) -> None:
    film(tmp_path / "secret.mp4")
    folder = tmp_path / "report"
    (folder / "videos").mkdir(parents=True)
    video = video.format(absolute=tmp_path / "secret.mp4")
    result = make_result("mine", "spots", [True], rows=lambda rows: [rows[0].model_copy(update={"video": video})])
    page = write_report(folder, [result])
    assert not Page(page).all("video")
    assert "secret" not in page.read_text(encoding="utf-8")


def test_errors_of_a_policy_are_told(make_result: MakeResult, tmp_path: Path) -> None:
    result = make_result(
        "mine", "spots", [False], rows=lambda rows: [rows[0].model_copy(update={"error": "ValueError"})]
    )
    assert "1 of these episodes ended because the policy raised an error" in Page(write_report(tmp_path, [result])).text


def test_bad_input_leaves_no_page(make_result: MakeResult, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="no results"):
        write_report(tmp_path, [])
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    result = make_result(
        "mine", "spots", [True], rows=lambda rows: [rows[0].model_copy(update={"video": "broken.mp4"})]
    )
    with pytest.raises(InvalidFileError, match=r"broken\.mp4"):
        write_report(tmp_path, [result])
    assert not (tmp_path / "report.html").exists()


# -- In a browser ------------------------------------------------------------------------------------------------------


PLAY = """
const done = arguments[arguments.length - 1];
Promise.all([...document.querySelectorAll('video')].map(async video => {
  video.muted = true;
  await video.play();
  while (video.currentTime === 0) await new Promise(resume => setTimeout(resume, 20));
  return video.videoWidth;
})).then(done, error => done(String(error)));
"""


def test_plays_in_a_browser(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    assert browser.execute_async_script(PLAY) == [96, 96]
    pictures = "return [...document.images].map(image => image.complete && image.naturalWidth > 0)"
    assert browser.execute_script(pictures) == [True] * 4
    too_wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(too_wide) == 0
    requests = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    names = browser.execute_script(requests)
    assert [name for name in names if not name.startswith(("file:", "data:"))] == []
    assert browser.get_log("browser") == []
