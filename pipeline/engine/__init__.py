"""The loop from sources through the detector and the rules to the sinks."""
