"""The wall between pytest and the engines: each engine lives in a worker."""
