"""Draws one small MuJoCo frame off screen: exit code 0 and the renderer's name, or 1 and what went wrong.

`scripts/setup.sh` runs it before it declares a checkout ready, because a missing GL library shows only when
the first frame is drawn.
"""

from __future__ import annotations

import os
import sys

SIZE = 32
RED_SPHERE = """
<mujoco>
  <worldbody>
    <light pos="0 -2 2" dir="0 1 -1"/>
    <geom type="sphere" size="0.3" rgba="1 0 0 1"/>
    <camera name="front" pos="0 -1 0" xyaxes="1 0 0 0 0 1"/>
  </worldbody>
</mujoco>
"""


def draw() -> str:
    """The name of the renderer that drew a frame; raises whatever went wrong."""
    import mujoco

    renderer = mujoco.Renderer(mujoco.MjModel.from_xml_string(RED_SPHERE), SIZE, SIZE)
    try:
        data = mujoco.MjData(renderer.model)
        mujoco.mj_forward(renderer.model, data)
        renderer.update_scene(data, camera="front")
        red, green, _ = (int(level) for level in renderer.render()[SIZE // 2, SIZE // 2])
        if red <= green:
            # A driver can hand out a context and then draw nothing.
            raise RuntimeError(f"the frame is wrong: its centre should be red, not {red, green}")
        from OpenGL.GL import GL_RENDERER, glGetString

        return str(glGetString(GL_RENDERER).decode())
    finally:
        renderer.close()


def main() -> int:
    """Draw, report, and return the exit code."""
    # MuJoCo reads the variable once, when it is imported; its own default on Linux wants a display.
    if sys.platform == "linux":
        os.environ.setdefault("MUJOCO_GL", "egl")
    backend = os.environ.get("MUJOCO_GL", "the platform's own GL")
    try:
        name = draw()
    except Exception as error:  # whatever it is, it means: no frames here
        print(f"{backend}: {type(error).__name__}: {error}")
        return 1
    print(f"{backend}, {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
