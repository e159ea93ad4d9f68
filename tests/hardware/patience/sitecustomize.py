"""Run by Python before LeRobot's own commands: Feetech's SDK waits a second for an answer, as in `conftest`."""

from scservo_sdk import PortHandler

PortHandler.isPacketTimeout = lambda port: port.getTimeSinceStart() > max(port.packet_timeout, 1000.0)
