"""Whole sessions of pytest, one after another: two checkouts in turn, one suite."""
