"""The plugin under test comes from its entry point; only pytester is added here."""

pytest_plugins = ["pytester"]
