"""What is asked for: engine spec, workload and effort, as pure data."""
