"""Registers of the Feetech STS3215, by LeRobot's names.

Addresses, sizes, ranges and defaults: Feetech, "STS series memory table". Defaults that it does not give are those of
servos as delivered (Return_Delay_Time 250, P and D 32, Phase 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MODEL_NUMBER: Final = 777
FIRMWARE: Final = (3, 10)
TICKS: Final = 4096
"""Encoder ticks in a turn."""

EEPROM_END: Final = 40
"""Registers at lower addresses keep their values without power, if they were written while Lock was 0."""
TABLE_END: Final = 87

BAUD_RATES: Final = (1_000_000, 500_000, 250_000, 128_000, 115_200, 76_800, 57_600, 38_400)
"""Bits a second, by the value of Baud_Rate. LeRobot's table skips 76,800, so that its later entries are one off."""


@dataclass(frozen=True)
class Register:
    """One register.

    Attributes:
        address: Address of its low byte.
        size: Size in bytes.
        default: Value as delivered, encoded.
        high: Largest value; writing a larger one sets this one.
        read_only: Whether writes are ignored.
        sign_bit: The bit that makes the value negative (sign and magnitude); `None` if it is unsigned.
    """

    address: int
    size: int = 1
    default: int = 0
    high: int = 255
    read_only: bool = False
    sign_bit: int | None = None

    @property
    def end(self) -> int:
        """The address after its last byte."""
        return self.address + self.size

    def encode(self, value: int) -> int:
        """The bits for `value`, clipped to the register's range."""
        if self.sign_bit is None:
            return min(max(value, 0), self.high)
        magnitude = min(abs(value), (1 << self.sign_bit) - 1)
        return magnitude | (int(value < 0) << self.sign_bit)

    def decode(self, bits: int) -> int:
        """The value of `bits`."""
        if self.sign_bit is None:
            return bits
        magnitude = bits & ((1 << self.sign_bit) - 1)
        return -magnitude if bits >> self.sign_bit & 1 else magnitude


def _live(address: int, size: int = 1, sign_bit: int | None = None) -> Register:
    return Register(address, size, high=256**size - 1, read_only=True, sign_bit=sign_bit)


REGISTERS: Final[dict[str, Register]] = {
    "Firmware_Major_Version": Register(0, default=FIRMWARE[0], read_only=True),
    "Firmware_Minor_Version": Register(1, default=FIRMWARE[1], read_only=True),
    "Model_Number": Register(3, 2, default=MODEL_NUMBER, high=65535, read_only=True),
    "ID": Register(5, default=1, high=253),
    "Baud_Rate": Register(6, high=len(BAUD_RATES) - 1),
    "Return_Delay_Time": Register(7, default=250, high=254),  # in 2 us
    "Response_Status_Level": Register(8, default=1, high=1),
    "Min_Position_Limit": Register(9, 2, high=4094),
    "Max_Position_Limit": Register(11, 2, default=4095, high=4095),
    "Max_Temperature_Limit": Register(13, default=70, high=100),  # degrees C
    "Max_Voltage_Limit": Register(14, default=140, high=254),  # in 0.1 V
    "Min_Voltage_Limit": Register(15, default=40, high=254),
    "Max_Torque_Limit": Register(16, 2, default=1000, high=1000),  # in 0.1 % of stall torque
    "Phase": Register(18, default=12, high=254),
    "Unloading_Condition": Register(19, default=44, high=254),
    "LED_Alarm_Condition": Register(20, default=47, high=254),
    "P_Coefficient": Register(21, default=32, high=254),
    "D_Coefficient": Register(22, default=32, high=254),
    "I_Coefficient": Register(23, high=254),
    "Minimum_Startup_Force": Register(24, 2, default=16, high=1000),
    "CW_Dead_Zone": Register(26, default=1, high=32),
    "CCW_Dead_Zone": Register(27, default=1, high=32),
    "Protection_Current": Register(28, 2, default=500, high=2047),  # in 6.5 mA
    "Angular_Resolution": Register(30, default=1, high=128),
    "Homing_Offset": Register(31, 2, sign_bit=11),
    "Operating_Mode": Register(33, high=3),
    "Protective_Torque": Register(34, default=20, high=254),
    "Protection_Time": Register(35, default=200, high=254),
    "Overload_Torque": Register(36, default=80, high=254),
    "Velocity_closed_loop_P_proportional_coefficient": Register(37, default=10, high=254),
    "Over_Current_Protection_Time": Register(38, default=200, high=254),
    "Velocity_closed_loop_I_integral_coefficient": Register(39, default=10, high=254),
    "Torque_Enable": Register(40, high=128),
    "Acceleration": Register(41, high=254),
    "Goal_Position": Register(42, 2, sign_bit=15),
    "Goal_Time": Register(44, 2, high=65535),
    "Goal_Velocity": Register(46, 2, sign_bit=15),  # ticks/s
    "Torque_Limit": Register(48, 2, default=1000, high=1000),
    "Lock": Register(55, default=1, high=1),
    "Present_Position": _live(56, 2, sign_bit=15),
    "Present_Velocity": _live(58, 2, sign_bit=15),  # ticks/s
    "Present_Load": _live(60, 2, sign_bit=10),  # in 0.1 % of stall torque
    "Present_Voltage": _live(62),  # in 0.1 V
    "Present_Temperature": _live(63),  # degrees C
    "Asynchronous_Write": _live(64),
    "Status": _live(65),
    "Moving": _live(66),
    "Present_Current": _live(69, 2),  # in 6.5 mA
    "Goal_Position_2": _live(71, 2, sign_bit=15),
    "Moving_Velocity_Threshold": Register(80, default=50),
    "DTs": Register(81),
    "Velocity_Unit_factor": Register(82),
    "Hts": Register(83),
    "Maximum_Velocity_Limit": Register(84, default=254),
    "Maximum_Acceleration": Register(85, default=254),
    "Acceleration_Multiplier": Register(86),
}
