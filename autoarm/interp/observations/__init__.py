"""What a policy is shown: frames of a dataset with labels, and rendered ones."""
