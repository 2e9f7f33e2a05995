"""Training: one loop, the objective passed in."""
