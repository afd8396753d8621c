"""How a worker is started and ended; nothing outside this room knows."""
