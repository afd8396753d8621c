"""A viewer of a store in the browser, which reads and never writes; extra `web`."""
