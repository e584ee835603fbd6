"""Settings of detector and tracker, chosen by how well they count an annotated clip."""
