"""The project's errors: each says what is wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

PLACE: Final = "choose another place, or see to its permissions and to the space that is left"
"""The cure of whatever cannot be written."""


class AutoArmError(Exception):
    """Base of every error that a user can cause and cure.

    Args:
        message: What is wrong, in one sentence.
        file: The file concerned, if there is one.
        field: The field, option or key concerned, if there is one.
        cure: What to do about it.
    """

    def __init__(
        self, message: str, *, file: str | Path | None = None, field: str | None = None, cure: str | None = None
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.field = field
        self.cure = cure
        where = ": ".join(part for part in (self.file, self.field) if part)
        text = f"{where}: {message}" if where else message
        super().__init__(f"{text} ({cure})" if cure else text)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not pickle by themselves, and worker processes send theirs home.
        return _rebuild, (type(self), self.message, self.file, self.field, self.cure)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question about the known name that is most like `name`, with a space after it; empty if none is alike."""
    close = get_close_matches(name, list(names), n=1)
    return f"did you mean {close[0]!r}? " if close else ""


def _rebuild(
    kind: type[AutoArmError], message: str, file: str | None, field: str | None, cure: str | None
) -> AutoArmError:
    return kind(message, file=file, field=field, cure=cure)


class InvalidInputError(AutoArmError, ValueError):
    """An argument, option or value is not usable."""


class InvalidFileError(AutoArmError, ValueError):
    """A file or folder is missing, damaged, or not of the kind expected."""


class InvalidActionError(AutoArmError, ValueError):
    """An action that must not reach the motors (NaN, infinity or a wrong shape)."""


class UnreachablePoseError(AutoArmError, ValueError):
    """The arm cannot reach a pose within its joint limits."""


class IncompatiblePolicyError(AutoArmError, ValueError):
    """A policy that was made for another robot, camera set or action space."""


GL_CURE: Final = (
    "on Debian or Ubuntu: apt-get install --no-install-recommends libegl1 libopengl0 libgl1-mesa-dri,"
    " and set MUJOCO_GL=egl"
)
"""How to mend a `RenderingError`."""


class RenderingError(AutoArmError, RuntimeError):
    """No working OpenGL: frames cannot be drawn."""


class MissingDependencyError(AutoArmError, ImportError):
    """A package of an optional extra is not installed."""
