"""The arm's twin: the simulated arm behind serial ports that speak like a real SO-101's.

From the wire to the physics: `protocol` (packets), `bus` (who answers), `servo` and `control_table` (one STS3215),
`calibration` (encoders), `body` and `hand` (physics, and people); `faults` goes wrong on purpose; `terminal` and
`device` put it all behind pseudo-terminals.
"""
