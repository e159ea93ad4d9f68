"""LeRobot datasets: record them, drive the arm by hand, read them back."""
