"""Repeatable measurements: ``python -m benchmarks``."""
