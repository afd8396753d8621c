"""Measure what LLM inference costs, as pytest experiments."""

__version__ = "0.1.0"
