"""Weights: our own file, the published ones, and the way from theirs to ours."""
