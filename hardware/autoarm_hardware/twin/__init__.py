"""The arm's twin: the simulated arm behind serial ports that answer as those of a real SO-101.

From the wire to the physics: `protocol` (packets), `bus` (requests and answers), `servo` and `control_table` (one
STS3215), `calibration` (encoders), `body` and `hand` (physics, and hands that move an arm); `faults` injects faults;
`terminal`, `device`, `cameras`, `table` and `folder` are the twin in real time, `line` and `lockstep` the one on a
simulated clock.
"""
