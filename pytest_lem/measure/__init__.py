"""The laboratory: the only room that waits."""
