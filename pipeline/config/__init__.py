"""What a run is told: the language of its config file, and reading it."""
