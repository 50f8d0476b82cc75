"""Autonomous mobility on demand: empty vehicles of a road fleet are sent where passengers are expected."""
