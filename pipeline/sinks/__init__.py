"""Where results go: event log, track file, annotated video."""
