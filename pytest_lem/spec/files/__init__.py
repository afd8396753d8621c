"""Experiments in YAML files: reading, inheriting, older names, grids, campaigns."""
