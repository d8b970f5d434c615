"""What a serving platform does to a model server, done to one that runs: which check fails, why, and what to change."""
