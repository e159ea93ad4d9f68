"""Compiled models and their renderers, so that scenes of equal structure share them."""

from __future__ import annotations

from collections import OrderedDict

import mujoco

from gym_autoarm.model import compile_scene
from gym_autoarm.rendering import FrameRenderer
from gym_autoarm.scene import Scene


class SceneCache:
    """The models and renderers of the scenes used last, for any number of environments in one thread.

    Compiling a model and making a GL context take far longer than a control step. Models are not changed once they are
    compiled, and a renderer keeps nothing from one frame to the next, so that sharing them changes no result.

    Args:
        image_size: Height and width of the frames.
        capacity: Number of structures to keep; each has a GL context of its own once a frame of it was drawn.
    """

    def __init__(self, image_size: tuple[int, int], capacity: int = 1) -> None:
        self._image_size = image_size
        self._capacity = capacity
        self._models: OrderedDict[Scene, mujoco.MjModel] = OrderedDict()
        self._renderers: dict[Scene, FrameRenderer] = {}

    def model(self, scene: Scene) -> mujoco.MjModel:
        """The compiled model of a scene."""
        structure = scene.structure()
        if structure not in self._models:
            self._models[structure] = compile_scene(scene)
        self._models.move_to_end(structure)
        while len(self._models) > self._capacity:
            oldest, _ = self._models.popitem(last=False)
            if renderer := self._renderers.pop(oldest, None):
                renderer.close()
        return self._models[structure]

    def renderer(self, scene: Scene) -> FrameRenderer:
        """The renderer of a scene. Raises `RenderingError` if no OpenGL context can be made."""
        model = self.model(scene)
        structure = scene.structure()
        if structure not in self._renderers:
            self._renderers[structure] = FrameRenderer(model, self._image_size)
        return self._renderers[structure]

    def close(self) -> None:
        """Free the GL contexts; models stay, and contexts are made again when a frame is asked for."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def __getstate__(self) -> dict[str, object]:
        # A GL context belongs to its process.
        return {**self.__dict__, "_renderers": {}}
