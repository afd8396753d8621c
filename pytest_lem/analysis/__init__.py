"""Pure numbers: statistics, latency and the metrics derived from raw figures."""
