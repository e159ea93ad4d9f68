"""The explorer's page, in a browser and without: names are taken, kept, and refused where it is read only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoarm.explorer.names import FeatureNames
from autoarm.explorer.page import Session, build_page, serve
from autoarm.explorer.records import FeatureRecords
from gym_autoarm.errors import InvalidInputError

WAIT = """
const done = arguments[arguments.length - 1], wanted = arguments[0];
const look = () => document.querySelector(wanted) ? done(true) : setTimeout(look, 50);
look();
"""
NAME = """
const done = arguments[arguments.length - 1], text = arguments[0];
const type = (box, value) => {
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(box), 'value').set.call(box, value);
  box.dispatchEvent(new Event('input', { bubbles: true }));
};
type(document.querySelector('#name input, #name textarea'), text);
setTimeout(() => { document.querySelector('#save').click(); done(true); }, 300);
"""
ELSEWHERE = """
return performance.getEntriesByType('resource').map(entry => entry.name)
  .filter(name => !name.startsWith(location.origin) && !/^(data|blob):/.test(name));
"""


@pytest.fixture
def session(folder: Path) -> Session:
    records = FeatureRecords.load(folder)
    return Session(records, FeatureNames.load(folder / "names.json", records.identity), read_only=False)


@pytest.fixture
def served(session: Session) -> Iterator[str]:
    pytest.importorskip("gradio")
    page = build_page(session.records, session.names)
    _, address, public = serve(page, wait=False)
    assert public is None
    assert address.startswith("http://127.0.0.1:")
    yield address
    page.close()


def test_names_are_saved_and_shown(session: Session) -> None:
    assert session.choices("memorisation") == [("1", 1), ("0", 0)]
    assert session.save(1, "episode two", "only there") == "saved: 1: episode two"
    assert session.choices("memorisation")[0] == ("1: episode two", 1)
    kept = json.loads(session.names.path.read_text())
    assert kept["features"]["1"]["description"] == "only there"
    with pytest.raises(InvalidInputError, match="no feature 9"):
        session.save(9, "x", "")


def test_read_only_takes_no_name(session: Session) -> None:
    closed = Session(session.records, session.names, read_only=True)
    with pytest.raises(InvalidInputError, match="read only"):
        closed.save(1, "x", "")
    assert not session.names.path.exists()


def test_read_only_pages_have_nothing_that_saves(session: Session) -> None:
    pytest.importorskip("gradio")
    counts = [len(build_page(session.records, session.names, read_only=read_only).fns) for read_only in (False, True)]
    assert counts[0] == counts[1] + 1


@pytest.mark.parametrize("browser", [1200], indirect=True)
def test_a_feature_is_named_in_a_browser(browser: Any, served: str, session: Session) -> None:
    browser.get(served)
    assert browser.execute_async_script(WAIT, "#moments img")
    assert browser.execute_async_script(WAIT, "#curve img")
    pictures = "return [...document.querySelectorAll('#moments img')].every(image => image.naturalWidth === 128)"
    assert browser.execute_script(pictures)
    assert browser.execute_script(ELSEWHERE) == []
    assert browser.execute_async_script(NAME, "<b>the cube</b>")
    path = session.names.path
    for _ in range(200):
        if path.exists():
            break
        time.sleep(0.05)
    (kept,) = json.loads(path.read_text())["features"].values()
    assert kept["name"] == "<b>the cube</b>"
