"""The site as its visitors meet it: right numbers, whole links, nothing from elsewhere, and it answers."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urldefrag

import pytest

from autoarm.leaderboard.build import build_leaderboard
from autoarm.results.result import Result
from gym_autoarm.errors import InvalidFileError, InvalidInputError

MakeSuiteResult = Callable[..., Result]
LARGEST_PAGE = 1_000_000


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_there_is_a_page_for_everything(site: Path, results_folder: Path) -> None:
    names = {page.relative_to(site).as_posix() for page in pages(site)}
    policies = {file.stem for file in results_folder.glob("five-spots-v1/*.json")}
    assert names == {
        "index.html",
        "submit.html",
        "five-spots-v1/compare.html",
        *(f"five-spots-v1/policies/{name}.html" for name in policies),
    }
    assert max(page.stat().st_size for page in pages(site)) < LARGEST_PAGE


def test_every_address_is_in_the_site(site: Path) -> None:
    for page in pages(site):
        for address in re.findall(r'(?:href|src|poster)="([^"]*)"', read(page)):
            if not address.startswith(("data:", "#")):
                target = page.parent / unquote(urldefrag(address).url)
                assert target.is_file(), (page, address)
                assert target.resolve().is_relative_to(site.resolve())
    for file in (*pages(site), *(site / "assets").iterdir()):
        assert not re.search(r"url\(|@import|https?:(?!//www\.w3\.org/)", read(file)), file


def test_results_and_figures_can_be_taken_along(site: Path, results_folder: Path) -> None:
    for file in results_folder.glob("five-spots-v1/*.json"):
        assert (site / "five-spots-v1/results" / file.name).read_bytes() == file.read_bytes()
    figures = {file.name for file in (site / "five-spots-v1/figures").iterdir()}
    assert figures == {f"{name}.{kind}" for name in ("ranking", "axes", "outcomes") for kind in ("png", "svg", "csv")}


def test_numbers_are_those_of_the_results(site: Path, results_folder: Path) -> None:
    front = read(site / "index.html")
    for file in results_folder.glob("five-spots-v1/*.json"):
        result = Result.load(file)
        score = sum(own.rate for own in result.groups.values()) / len(result.groups)
        row = next(row for row in front.split("<tr") if f">{result.policy.name}</a>" in row)
        assert f">{100 * score:.1f} %<" in row
        own = read(site / f"five-spots-v1/policies/{result.policy.name}.html")
        assert f"{result.overall.successes} of {result.overall.episodes}" in own
        assert f"autoarm verify benchmarks/results/five-spots-v1/{file.name}" in own
        assert result.digest in own


def test_every_policy_has_its_track_and_every_board_its_version(site: Path, results_folder: Path) -> None:
    front = read(site / "index.html")
    assert "Suite five-spots-v1, version 1," in front
    assert set(re.findall(r"name=\"track\" value=\"([^\"]*)\"", front)) == {*("five-spots", "open", "unknown", "none")}
    for file in results_folder.glob("five-spots-v1/*.json"):
        track = Result.load(file).policy.track or "unknown"
        row = next(row for row in front.split("<tr") if f'data-name="{file.stem}"' in row)
        assert f'data-track="{track}"' in row
        assert f"Track <strong>{track}</strong>" in read(site / f"five-spots-v1/policies/{file.stem}.html")


def test_names_are_text_and_nothing_else(make_suite_result: MakeSuiteResult, tmp_path: Path) -> None:
    evil = "</script><script>alert('x')</script>\"{{ 7 * 7 }}/../x"
    result = make_suite_result(evil, axes=["seen"], kind=evil, config={evil: evil}, path=evil)
    result.save(tmp_path / "results" / "evil.json")
    front = build_leaderboard(tmp_path / "results", tmp_path / "site", title=evil)
    for page in pages(front.parent):
        assert "<script>alert" not in read(page)
        assert "{{ 7 * 7 }}" in read(page)
        assert page.resolve().is_relative_to((tmp_path / "site").resolve())


def test_videos_from_outside_are_left_outside(make_suite_result: MakeSuiteResult, tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    for number, video in enumerate(["../secret.mp4", str(tmp_path / "secret.mp4"), "missing.mp4"]):
        result = make_suite_result(f"p{number}", axes=["seen"], video=lambda row, video=video: video)
        result.save(tmp_path / "results" / f"{number}.json")
    site = build_leaderboard(tmp_path / "results", tmp_path / "site").parent
    assert not list(site.rglob("*.mp4"))
    assert "<video" not in "".join(map(read, pages(site)))


def test_suites_are_not_mixed(make_suite_result: MakeSuiteResult, tmp_path: Path) -> None:
    one = make_suite_result("one", axes=["seen"])
    assert one.setting.suite is not None
    newer = one.setting.suite.model_copy(update={"version": 2, "sha256": "00" * 32})
    two = one.model_copy(update={"setting": one.setting.model_copy(update={"suite": newer})})
    one.save(tmp_path / "results/one.json")
    two.save(tmp_path / "results/two.json")
    front = read(build_leaderboard(tmp_path / "results", tmp_path / "site"))
    assert front.count('class="board"') == 2
    assert front.count(">one</a>") == 4  # each in its own ranking and its own table of axes


BROKEN: dict[str, Callable[[str], str]] = {
    "no JSON": lambda text: text[:-20],
    "another schema": lambda text: text.replace('"schema_version": 2', '"schema_version": 1'),
    "edited": lambda text: text.replace('"success":false', '"success":true', 1),
    "the name of another": lambda text: text,
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_bad_file_is_named_and_nothing_is_built(how: str, make_suite_result: MakeSuiteResult, tmp_path: Path) -> None:
    make_suite_result("good", 0.5, axes=["seen"]).save(tmp_path / "results/good.json")
    text = read(tmp_path / "results/good.json")
    (tmp_path / "results/zbad.json").write_text(BROKEN[how](text), encoding="utf-8")
    with pytest.raises(InvalidFileError) as caught:
        build_leaderboard(tmp_path / "results", tmp_path / "site")
    assert caught.value.file == str(tmp_path / "results/zbad.json")
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_a_suite_that_was_changed_silently_is_refused(make_suite_result: MakeSuiteResult, tmp_path: Path) -> None:
    result = make_suite_result("good", axes=["seen"])
    assert result.setting.suite is not None
    other = result.setting.suite.model_copy(update={"sha256": "00" * 32})
    changed = result.model_copy(
        update={
            "policy": result.policy.model_copy(update={"name": "other"}),
            "setting": result.setting.model_copy(update={"suite": other}),
        }
    )
    result.save(tmp_path / "results/good.json")
    changed.save(tmp_path / "results/zbad.json")
    with pytest.raises(InvalidFileError, match=r"zbad\.json: setting\.suite\.sha256"):
        build_leaderboard(tmp_path / "results", tmp_path / "site")


def test_only_a_site_is_replaced(make_suite_result: MakeSuiteResult, tmp_path: Path) -> None:
    results, out = tmp_path / "results", tmp_path / "site"
    with pytest.raises(InvalidInputError, match="no such folder"):
        build_leaderboard(results, out)
    results.mkdir()
    with pytest.raises(InvalidInputError, match="no results"):
        build_leaderboard(results, out)
    make_suite_result("good", axes=["seen"]).save(results / "good.json")
    with pytest.raises(InvalidInputError, match="folders of their own"):
        build_leaderboard(results, results / "site")
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidInputError, match="would be lost"):
        build_leaderboard(results, out)
    assert (out / "thesis.txt").is_file()
    (out / "thesis.txt").unlink()
    build_leaderboard(results, out)
    (out / "old.html").write_text("from before")
    build_leaderboard(results, out)
    assert not (out / "old.html").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["results", "site"]


# -- In a browser ------------------------------------------------------------------------------------------------------


def ask(browser: Any, script: str) -> Any:
    return browser.execute_script(script)


def names(browser: Any, table: str) -> list[str]:
    rows = f"[...document.querySelectorAll('{table} tbody tr:not([hidden]) th a')]"
    return list(ask(browser, f"return {rows}.map(link => link.textContent)"))


PLAY = """
const done = arguments[arguments.length - 1];
(async () => {
  const video = document.querySelector('video');
  video.muted = true;
  await video.play();
  while (video.currentTime === 0) await new Promise(resume => setTimeout(resume, 20));
  return [video.videoWidth, document.querySelectorAll('video').length];
})().then(done, error => done(String(error)));
"""
CLICK = "const all = document.querySelectorAll('{}'); all[all.length - 1].click()"


def test_sorts_filters_compares_and_plays(browser: Any, site: Path, results_folder: Path) -> None:
    results = {file.stem: Result.load(file) for file in results_folder.glob("five-spots-v1/*.json")}

    browser.get((site / "index.html").as_uri())
    best_first = names(browser, ".ranking")
    assert set(best_first) == results.keys()
    ask(browser, CLICK.format(".ranking th:nth-child(2) button"))
    assert names(browser, ".ranking") == sorted(results)
    ask(browser, CLICK.format(".ranking th:nth-child(4) button"))
    assert names(browser, ".ranking")[0] == "expert"
    ask(browser, CLICK.format(".ranking th:nth-child(4) button"))
    assert names(browser, ".ranking")[-1] == "expert"
    ask(browser, CLICK.format(".axes th:last-child button"))
    rates = [results[name].groups["all"].rate for name in names(browser, ".axes")]
    assert rates == sorted(rates, reverse=True)
    ask(browser, CLICK.format("input[value=five-spots]"))
    others = {name for name, result in results.items() if result.policy.track != "five-spots"}
    assert set(names(browser, ".ranking")) == set(names(browser, ".axes")) == others
    ask(browser, CLICK.format("input[value=five-spots]"))
    for role in ("ceiling", "control", "floor"):
        ask(browser, CLICK.format(f"input[value={role}]"))
    competing = {name for name, result in results.items() if result.policy.role == "policy"}
    assert set(names(browser, ".ranking")) == set(names(browser, ".axes")) == competing
    search = "const box = document.querySelector('input[type=search]'); box.value = 'DIFFUSION';"
    ask(browser, search + "box.dispatchEvent(new Event('input', {bubbles: true}))")
    assert names(browser, ".ranking") == ["diffusion-five-spots"]
    assert ask(browser, "return document.querySelector('.count').textContent") == f"1 of {len(results)}"

    browser.get((site / "five-spots-v1/compare.html").as_uri() + "#a=expert&b=no-op")
    text = "return document.getElementById('verdict').textContent"
    assert ask(browser, text).startswith("expert is ahead of no-op: +100.0 points")
    ask(browser, CLICK.format("#swap"))
    assert ask(browser, text).startswith("no-op is behind expert: −100.0 points")
    cells = "return [...document.querySelectorAll('#comparison tbody tr')].map(row => row.cells[4].firstChild.data)"
    assert ask(browser, cells) == ["−100.0"] * (1 + len(results["expert"].groups))

    browser.get((site / "five-spots-v1/policies/act-five-spots.html").as_uri())
    assert browser.execute_async_script(PLAY) == [96, 4]
    choose = "const axis = document.querySelector('.map-axis'); axis.value = 'yaw';"
    ask(browser, choose + "axis.dispatchEvent(new Event('change'))")
    own = results["act-five-spots"].groups["yaw"]
    counted = ask(browser, "return document.querySelector('.map-count').textContent")
    assert counted == f"{own.successes} of {own.episodes} in the box"
    assert browser.get_log("browser") == []


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server(site: Path) -> Iterator[str]:
    """Address of a web server that serves the site."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as opened:
        Thread(target=opened.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{opened.server_port}/"
        opened.shutdown()


def test_fits_the_screen_and_asks_only_its_own_server(browser: Any, site: Path, server: str) -> None:
    shown = ["index.html", "submit.html", "five-spots-v1/compare.html", "five-spots-v1/policies/act-five-spots.html"]
    for page in shown:
        browser.get(server + page)
        element = "document.documentElement"
        assert ask(browser, f"return {element}.scrollWidth - {element}.clientWidth") == 0, page
        requests = ask(browser, "return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert f"{server}assets/site.css" in requests
        assert [name for name in requests if not name.startswith((server, "data:"))] == []
        assert browser.get_log("browser") == []


def test_comparisons_are_complete(site: Path) -> None:
    found = re.search(r'id="data">(.*?)</script>', read(site / "five-spots-v1/compare.html"))
    assert found is not None
    data = json.loads(found[1])
    count = len(data["policies"])
    assert len(data["pairs"]) == count * (count - 1) / 2
    assert {len(axes) for _, axes in data["pairs"].values()} == {len(data["axes"])}


def test_works_when_moved(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "else where")
    test_every_address_is_in_the_site(tmp_path / "else where")
