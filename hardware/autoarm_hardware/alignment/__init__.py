"""A real camera's pose and field of view, from pictures of a printed board: `autoarm align`."""
