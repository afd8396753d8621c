"""The `lem` command."""


def main() -> None:
    """Run the command."""
