"""Record, train, evaluate and interpret policies for the arm, and the command line."""
