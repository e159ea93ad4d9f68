"""Pictures and videos as a page holds them."""

from __future__ import annotations

import base64
import io
from collections import deque
from pathlib import Path

from PIL import Image

from gym_autoarm.errors import InvalidFileError


def data_uri(kind: str, data: bytes) -> str:
    """The address of content that is written into the page itself; `kind` is its media type, such as `image/png`."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def poster(video: Path) -> bytes:
    """The last frame of a video as JPEG: how it ended, shown before it is played. Raises `InvalidFileError`."""
    import av

    try:
        with av.open(str(video)) as container:
            (last,) = deque(container.decode(video=0), maxlen=1)
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise InvalidFileError("not a video", file=video, cure="evaluate the policy again") from error
    data = io.BytesIO()
    Image.fromarray(last.to_ndarray(format="rgb24")).save(data, "JPEG", quality=80)
    return data.getvalue()
