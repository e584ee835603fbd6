"""The sample clip and its ground truth; README.md names their origin and licence."""
