"""Where a real camera is and what it sees, from pictures of a printed board: `autoarm align`."""
