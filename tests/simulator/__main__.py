"""``python -m tests.simulator``: plays many schedules, or tells one as a story."""
