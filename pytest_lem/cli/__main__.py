"""The command, as `python -m pytest_lem.cli`."""

from pytest_lem.cli import main

if __name__ == "__main__":
    main()
