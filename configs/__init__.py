"""YAML presets of `makespan train`, one experiment a file, shipped as package data."""
