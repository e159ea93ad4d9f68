"""How a simulated arm answers to the goals that a real one was given, beside what the real one did."""

from __future__ import annotations

from dataclasses import dataclass

from autoarm.system_id.fit import Fit
from autoarm.system_id.response import JointError, errors, simulate
from autoarm.system_id.trajectory import Positions, Recording
from gym_autoarm.scene import Body


@dataclass(frozen=True)
class Check:
    """An arm and its simulation on one trajectory.

    Attributes:
        recording: What the arm did.
        body: The body that was simulated.
        simulated: What the simulation did, `(steps, 6)`.
        errors: Error of every joint compared.
        fit: Gains that explain the recording better, if they were asked for.
        fitted: What the simulation does with those gains, `(steps, 6)`.
        errors_fitted: Error of every joint with those gains.
    """

    recording: Recording
    body: Body
    simulated: Positions
    errors: list[JointError]
    fit: Fit | None = None
    fitted: Positions | None = None
    errors_fitted: list[JointError] | None = None


def check(recording: Recording, body: Body, fitted: Fit | None = None) -> Check:
    """Compare an arm's response with the simulation's, and with that of fitted gains."""
    simulated = simulate(recording.trajectory, body)
    before = errors(simulated, recording.positions, recording.compared)
    if fitted is None:
        return Check(recording, body, simulated, before)
    after = simulate(recording.trajectory, fitted.body)
    return Check(
        recording, body, simulated, before, fitted, after, errors(after, recording.positions, recording.compared)
    )
