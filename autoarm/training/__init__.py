"""Train LeRobot's ACT: frames decoded once, exact resume, checkpoints that stock LeRobot loads."""
