"""Elements of SVG, escaped; colours and sizes of text are the style sheet's."""

from __future__ import annotations

from markupsafe import Markup, escape

Value = str | int | float


def element(tag: str, *content: str, **attributes: Value) -> Markup:
    """An element. An underscore at the end of an attribute's name is dropped, others become hyphens.

    Args:
        tag: Its name.
        content: Elements (as `Markup`), or text, which is escaped.
        attributes: Numbers are rounded to a tenth of a pixel.
    """
    words = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for name, value in attributes.items()
    )
    inner = "".join(str(escape(each)) for each in content)
    return Markup(f"<{tag}{words}>{inner}</{tag}>" if inner else f"<{tag}{words}/>")


def drawing(width: float, height: float, *content: str, label: str, **attributes: Value) -> Markup:
    """A drawing that scales with its place, with a description for those who do not see it."""
    size = f"0 0 {_short(width)} {_short(height)}"
    return element("svg", *content, viewBox=size, role="img", aria_label=label, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line of a class."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def text(x: float, y: float, words: str, kind: str = "") -> Markup:
    """Words, set by their class: `end` and `middle` align them."""
    return element("text", words, x=x, y=y, **({"class_": kind} if kind else {}))


def tip(words: str) -> Markup:
    """What a browser shows when one points at the element that holds it."""
    return element("title", words)


def _short(value: Value) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
