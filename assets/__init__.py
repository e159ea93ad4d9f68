"""Data of the project: the arm's MJCF, textures, reference policies. Read it through `importlib.resources`."""
