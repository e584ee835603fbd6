"""Example runs, and the schema that editors complete configs with."""
