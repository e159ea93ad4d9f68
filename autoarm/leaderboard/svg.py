"""SVG elements with escaped content; the style sheet sets colours and text sizes."""

from __future__ import annotations

from markupsafe import Markup, escape

Value = str | int | float


def element(tag: str, *content: str, **attributes: Value) -> Markup:
    """An element. An underscore at the end of an attribute's name is dropped, others become hyphens.

    Args:
        tag: Name of the element.
        content: Elements (as `Markup`), or text, which is escaped.
        attributes: Numbers are rounded to a tenth of a pixel.
    """
    words = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for name, value in attributes.items()
    )
    inner = "".join(str(escape(each)) for each in content)
    return Markup(f"<{tag}{words}>{inner}</{tag}>" if inner else f"<{tag}{words}/>")


def drawing(width: float, height: float, *content: str, label: str, **attributes: Value) -> Markup:
    """A drawing that scales to the available width; `label` describes it to people who cannot see it."""
    size = f"0 0 {_short(width)} {_short(height)}"
    return element("svg", *content, viewBox=size, role="img", aria_label=label, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line; `kind` is its class in the style sheet."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def text(x: float, y: float, words: str, kind: str = "") -> Markup:
    """Text; `kind` is its class in the style sheet, of which `end` and `middle` align it."""
    return element("text", words, x=x, y=y, **({"class_": kind} if kind else {}))


def tip(words: str) -> Markup:
    """A tooltip for the element that holds it."""
    return element("title", words)


def _short(value: Value) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
