"""The explorer's page, made with Gradio. It sends nothing to other machines, and serves no file but its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from typing import Any, Final, get_args

from autoarm.explorer import views
from autoarm.explorer.names import DESCRIPTION_LENGTH, NAME_LENGTH, FeatureNames
from autoarm.explorer.records import FeatureRecords
from autoarm.interp.autoencoder.features import Order
from gym_autoarm.errors import AutoArmError, InvalidInputError
from gym_autoarm.extras import require_extra

_STYLE: Final = """
.gallery { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)); }
.gallery figure { margin: 0; }
.gallery img { width: 100%; height: auto; display: block; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 0; }
.facts dd { margin: 0; }
.remark { font-size: .85rem; opacity: .75; }
"""
_FONTS: Final = ("system-ui", "sans-serif")
_MOST: Final = 24


@dataclass
class Session:
    """What all visitors of the page share: the records and the current names.

    Attributes:
        records: The records of the features.
        names: Current names; saving one replaces them.
        read_only: Whether names cannot be saved.
    """

    records: FeatureRecords
    names: FeatureNames
    read_only: bool

    def __post_init__(self) -> None:
        self._lock = Lock()

    def choices(self, by: Order) -> list[tuple[str, int]]:
        """Labels and numbers of the features, in the order `by`."""
        return [(self.names.label(feature), feature) for feature in self.records.order(by)]

    def save(self, feature: int, name: str, description: str) -> str:
        """Name a feature and write the file; returns a message.

        Raises:
            InvalidInputError: If the page is read only, there is no such feature, or a text is too long.
        """
        if self.read_only:
            raise InvalidInputError("this page is read only", field="name", cure="start it without --read-only")
        self.records.activations.check(feature)
        with self._lock:
            names = self.names.named(feature, name, description)
            names.save()
            self.names = names
        return f"saved: {self.names.label(feature)}"


def require_gradio() -> Any:
    """Gradio. Raises `MissingDependencyError` if it is not installed."""
    require_extra("gradio", "Gradio", "explore")
    # Gradio reads this when it is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    return import_module("gradio")


def build_page(records: FeatureRecords, names: FeatureNames, *, read_only: bool = False) -> Any:
    """Build the page as Gradio `Blocks`.

    Args:
        records: The records of the features.
        names: Their names so far.
        read_only: Only show names; the server then has no function that saves one.
    """
    gr = require_gradio()
    session = Session(records, names, read_only)
    features = [feature for _, feature in session.choices("variance")]
    if not features:
        raise InvalidInputError("no feature is ever active", field="folder", cure="train with more samples")
    first, episode = features[0], records.episodes[0]
    with gr.Blocks(title="Features of a policy", analytics_enabled=False) as page:
        gr.Markdown(
            "# Features\nEach is something that the network represents at a patch of a view or at another token."
        )
        with gr.Row():
            order = gr.Dropdown(list(get_args(Order)), value="variance", label="Order", elem_id="order")
            feature = gr.Dropdown(session.choices("variance"), value=first, label="Feature", elem_id="feature")
            chosen = gr.Dropdown(records.episodes, value=episode, label="Episode of the curve", elem_id="episode")
            with gr.Column(min_width=160):
                apart = gr.Checkbox(label="Best moment of each episode", elem_id="per-episode")
                moving = gr.Checkbox(label="Clips of two seconds", elem_id="moving")
        with gr.Row():
            with gr.Column():
                numbers = gr.HTML(elem_id="facts")
                name = gr.Textbox(label="Name", max_length=NAME_LENGTH, interactive=not read_only, elem_id="name")
                description = gr.Textbox(
                    label="Description",
                    lines=3,
                    max_length=DESCRIPTION_LENGTH,
                    interactive=not read_only,
                    elem_id="description",
                )
                if not read_only:
                    button = gr.Button("Save", elem_id="save")
                    said = gr.Textbox(label="", interactive=False, show_label=False, elem_id="said")
            with gr.Column():
                over_time = gr.HTML(elem_id="curve")
                over_table = gr.HTML(elem_id="table")
        moments = gr.HTML(elem_id="moments")

        def moments_of(number: int, each: bool, clips: bool) -> str:
            count = min(_MOST, len(records.episodes)) if each else 8
            return views.gallery(records, number, count, per_episode=each, moving=clips)

        def show(number: int, of: int, each: bool, clips: bool) -> list[str]:
            naming = session.names.get(number)
            return [
                views.facts(records, number),
                naming.name if naming else "",
                naming.description if naming else "",
                views.curve(records, number, of),
                views.table(records, number),
                moments_of(number, each, clips),
            ]

        given = [feature, chosen, apart, moving]
        shown = [numbers, name, description, over_time, over_table, moments]
        for event in (page.load, feature.change):
            event(show, given, shown, api_visibility="private", show_progress="hidden")
        for box in (apart, moving):
            box.change(moments_of, [feature, apart, moving], moments, api_visibility="private")
        chosen.change(
            lambda number, of: views.curve(records, number, of), [feature, chosen], over_time, api_visibility="private"
        )
        order.change(
            lambda by: gr.Dropdown(session.choices(by), value=session.choices(by)[0][1]),
            order,
            feature,
            api_visibility="private",
        )
        if not read_only:

            def save(number: int, called: str, about: str, by: Order) -> tuple[str, Any]:
                try:
                    answer = session.save(number, called, about)
                except AutoArmError as error:
                    answer = str(error)
                return answer, gr.Dropdown(session.choices(by), value=number)

            button.click(save, [feature, name, description, order], [said, feature], api_visibility="private")
    return page


def serve(page: Any, host: str = "127.0.0.1", port: int | None = None, *, wait: bool = True) -> Any:
    """Serve the page, by default to this machine alone.

    Args:
        page: The page that `build_page` made.
        host: Address to listen at.
        port: Port; None takes a free one.
        wait: Whether to return only when interrupted.

    Returns:
        Gradio's application, the local address, and the public address, which is always None.

    Raises:
        InvalidInputError: If it cannot listen there.
    """
    gr = require_gradio()
    try:
        return page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            inbrowser=False,
            prevent_thread_lock=not wait,
            footer_links=[],
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            allowed_paths=[],
            # Fonts of this machine: Gradio's themes would download theirs.
            theme=gr.themes.Default(font=list(_FONTS), font_mono=["monospace"]),
            css=_STYLE,
        )
    except OSError as error:
        raise InvalidInputError(f"cannot listen at {host}:{port}", field="port", cure="choose another") from error
