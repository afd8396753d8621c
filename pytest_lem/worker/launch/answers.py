"""What an interpreter has, told by itself: run as a script by its path, never imported.

It takes `[modules, packages]` as JSON and prints one line of JSON. Any Python from 3.6
can read it; it needs nothing that is not Python's own, and imports no engine.
"""

import json
import os
import sys


def _is_there(module: str) -> bool:
    import importlib.util

    package = module.partition(".")[0]  # a submodule's spec would import its package
    return importlib.util.find_spec(package) is not None


def _version(package: str) -> object:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        owners = metadata.packages_distributions().get(package)
        return metadata.version(owners[0]) if owners else None


def _plugin() -> object:
    try:
        import pytest_lem
        from pytest_lem.worker import protocol
    except ImportError:
        return None
    return {"version": pytest_lem.__version__, "protocol": protocol.PROTOCOL}


def main() -> None:
    """Answer the question on standard input."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    modules, packages = json.load(sys.stdin)
    answer: dict[str, object] = {"version": list(sys.version_info[:3])}
    if sys.version_info >= (3, 11):  # noqa: UP036 - others may run this
        answer["plugin"] = _plugin()
        answer["missing"] = [one for one in modules if not _is_there(one)]
        answer["packages"] = {one: _version(one) for one in packages}
    print(json.dumps(answer))  # noqa: T201


if __name__ == "__main__":
    main()
