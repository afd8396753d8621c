"""What is known afterwards: the record, its journal, its files."""
