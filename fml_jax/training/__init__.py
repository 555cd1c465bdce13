"""Training: stages, optimizer groups, the step, checkpoints and the loop."""
