"""The twin as its own operator: places cube and box, and decides by its physics whether the cube is in the box.

A person does that for a real arm. Requests and answers are JSON over UDP on the loopback interface.
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Callable
from typing import Any, Final

from autoarm_hardware.operator import Verdict
from autoarm_hardware.twin.body import Body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.rendering import Frame
from gym_autoarm.scene import Scene
from gym_autoarm.task import TaskMonitor

Place = tuple[float, float, float]
"""x and y in metres, yaw in degrees."""

_HOST: Final = "127.0.0.1"
_LONGEST: Final = 4096
_TRIES: Final = 4
_PATIENCE: Final = 0.5
"""Seconds to wait for an answer, each time."""


class SimulatedOperator:
    """An operator of `PickIntoBoxEnv` that places the cube of a simulated body and reads success from its physics."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._monitor: TaskMonitor | None = None

    def place(self, look: Callable[[], Frame], scene: Scene) -> None:
        """See `Operator`."""
        cube, box = scene.cube, scene.box
        self.place_both((cube.x, cube.y, cube.yaw), (box.x, box.y, box.yaw))

    def place_both(self, cube: Place, box: Place) -> None:
        """Put the cube and the box there."""
        self._body.place_box(*box)
        self._body.place_cube(*cube)
        self._monitor = TaskMonitor(self._body.model, self._body.scene)

    def verdict(self) -> Verdict | None:
        """`success` once the cube has come to rest in the box."""
        if self._monitor is None:
            return None
        self._monitor.update(self._body.data)
        return "success" if self._monitor.is_success else None


class TableServer:
    """A `SimulatedOperator` that other processes can use; `fileno` is for `poll`."""

    def __init__(self, body: Body) -> None:
        self._operator = SimulatedOperator(body)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((_HOST, 0))
        self._socket.setblocking(False)

    @property
    def port(self) -> int:
        """The UDP port that it listens at."""
        return int(self._socket.getsockname()[1])

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> None:
        """Carry out one request; the answer to an invalid one says what is wrong."""
        try:
            data, sender = self._socket.recvfrom(_LONGEST)
        except BlockingIOError:
            return
        try:
            answer = self._answer(json.loads(data))
        except (ValueError, KeyError, TypeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        self._socket.sendto(json.dumps(answer).encode(), sender)

    def close(self) -> None:
        """Stop listening. Safe to call twice."""
        self._socket.close()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "cube" in request:
            self._operator.place_both(_place(request["cube"]), _place(request["box"]))
            return {}
        return {"verdict": self._operator.verdict()}


class TableClient:
    """An operator of `PickIntoBoxEnv` that asks a twin's `TableServer`.

    Args:
        port: The UDP port that the twin listens at.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((_HOST, port))
        self._socket.settimeout(_PATIENCE)

    def place(self, look: Callable[[], Frame], scene: Scene) -> None:
        """See `Operator`."""
        cube, box = scene.cube, scene.box
        self._ask({"cube": [cube.x, cube.y, cube.yaw], "box": [box.x, box.y, box.yaw]})

    def verdict(self) -> Verdict | None:
        """See `Operator`."""
        return "success" if self._ask({}).get("verdict") == "success" else None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        for _ in range(_TRIES):
            try:
                self._socket.send(json.dumps(request).encode())
                answer = json.loads(self._socket.recv(_LONGEST))
            except OSError:
                continue  # it is busy, or gone
            if "error" in answer:
                raise InvalidInputError(answer["error"], field="operator", cure="name a twin of this release")
            assert isinstance(answer, dict)
            return answer
        raise InvalidInputError(
            f"no twin answers at port {self._port}",
            field="operator",
            cure="start `autoarm twin` and name its robot.yaml",
        )


def _place(values: Any) -> Place:
    x, y, yaw = map(float, values)
    if not all(map(math.isfinite, (x, y, yaw))):
        raise ValueError("a place is three numbers")
    return x, y, yaw
