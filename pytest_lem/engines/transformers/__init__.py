"""Hugging Face transformers: one module per part of its engine."""
