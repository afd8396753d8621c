"""What is told of one experiment, a section of its details by each module."""
