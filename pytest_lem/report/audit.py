"""A campaign over every parameter of an engine, each by itself against its default."""

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from pytest_lem.engines.driven import drives
from pytest_lem.errors import ConfigError
from pytest_lem.report.parameters import chosen, obeyed
from pytest_lem.spec import catalogue

_BASE: dict[str, Any] = {
    "model": "synthetic:llama-tiny",
    "input_tokens": 64,
    "output_tokens": 64,
    "batch_size": 8,
}
_UNIVERSAL: dict[str, Any] = {
    "precision": ["float32", "float16", "bfloat16"],
    "batch_size": [1, 32],
    "decoder": {"do_sample": [True], "num_beams": [2]},
}
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"\d+(\.\d+)?$")
_SEVERAL = re.compile(r"parallel|num_processes|gpus_per_node|tp_size")


def audited(backend: str | None) -> str:
    """The backend of that name or alias; raises ConfigError for another, and None."""
    found = chosen(backend or "")[0]
    if found == catalogue.UNIVERSAL:
        raise ConfigError("an audit is of one backend: transformers, vllm or tensorrt")
    return found


def lines(backend: str) -> Iterator[str]:
    """The file, and below it as comments what it leaves out and why."""
    import yaml

    vary: dict[str, Any] = {}
    left_out: dict[str, list[str]] = {}
    for row in catalogue.rows(backend):
        reason = _against(backend, row)
        if reason is None and (values := _values(row)):
            _put(vary, row.path, values)
        else:
            name = row.path.removeprefix(f"{backend}.")
            left_out.setdefault(reason or "no other value is known", []).append(name)
    _enable(vary.get(backend, {}))
    path = f"benchmarks/campaigns/audit_{backend}.lem.yaml"
    yield f"# What each parameter of {backend} does to energy, by itself against its"
    yield "# default; those that the machine or the model cannot have are skipped."
    yield "#"
    yield f"#     pytest {path} --lem-json=r.json"
    yield "#"
    yield f"# Made of the catalogue by `lem params --backend {backend} --audit`."
    campaign = {
        "campaign_name": f"audit-{backend}",
        "cycles": 3,
        "base_config": {"config_name": backend, "backend": backend, **_BASE},
        "vary_alone": {**_UNIVERSAL, **vary},
    }
    yield from yaml.safe_dump(campaign, sort_keys=False).splitlines()
    yield "# Left out:"
    for reason, names in left_out.items():
        yield textwrap.fill(
            f"{', '.join(names)}: {reason}",
            width=88,
            initial_indent="# - ",
            subsequent_indent="#   ",
        )


def _against(backend: str, row: catalogue.Row) -> str | None:
    """Why a parameter cannot be tried by itself; None where it can."""
    if not drives(row.path, obeyed(backend) or (), section=backend):
        return "not driven yet"
    if _SEVERAL.search(row.path) or row.unit in ("GPUs", "stages"):
        return "several GPUs or processes"
    names = {
        one.path.rpartition(".")[2]
        for of in (backend, catalogue.UNIVERSAL)
        for one in catalogue.rows(of)
    }
    if needed := names.intersection(re.findall(r"\w+", row.needs.partition(";")[0])):
        return f"needs {', '.join(sorted(needed))}"
    return None


def _values(row: catalogue.Row) -> list[Any]:
    """Values other than the default: all of a few, or half and twice a number."""
    default = row.engine_default.partition(",")[0].partition(";")[0]
    found: list[Any] = []
    if "boolean" in row.type:
        found += [one for one in (True, False) if str(one).lower() != default]
    if "choice" in row.type:
        words = re.split(r", | or ", row.range)
        found += [one for one in words if one not in (default, "boolean")]
    elif row.type == "text":
        words = row.choices.split(", ")
        found += [one for one in words if _WORD.fullmatch(one) and one != default]
    elif "number" in row.type and _NUMBER.match(default):
        found += _around(row, float(default))
    return [int(one) if str(one).isdecimal() else one for one in found]


def _around(row: catalogue.Row, default: float) -> Iterator[float]:
    for value in (default / 2, default * 2):
        whole = row.type == "whole number"
        if default and _within(row.range, value) and (not whole or value % 1 == 0):
            yield int(value) if whole else value


def _within(limits: str, value: float) -> bool:
    signs = {
        "<=": value.__le__,
        "<": value.__lt__,
        ">=": value.__ge__,
        ">": value.__gt__,
    }
    bounds = re.findall(r"([<>]=?) ([-\d.e+]+)", limits)
    return all(signs[sign](float(bound)) for sign, bound in bounds)


def _enable(tree: dict[str, Any]) -> None:
    """Let what a group has be tried with the group enabled, where that can be said."""
    for name, inner in tree.items():
        if not isinstance(inner, dict) or "enabled" not in inner:
            continue
        tree[name] = [{"enabled": True}]
        for path, values in _leaves(inner, ""):
            for value in values if path != "enabled" else ():
                tree[name].append({"enabled": True})
                _put(tree[name][-1], path, value)


def _leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, list[Any]]]:
    for name, inner in tree.items():
        if isinstance(inner, dict):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner


def _put(tree: dict[str, Any], path: str, values: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[name] = values
