"""Memory: how much of it what held."""

from collections.abc import Iterator, Mapping

from pytest_lem.report.html.charts.figure import COLOURS, Chart, layout
from pytest_lem.report.html.sections.section import Section
from pytest_lem.report.html.view import Shown

KEY, TITLE = "memory", "Memory"
_GROUPS: Mapping[str, Mapping[str, str]] = {
    "memory": {
        "model_mb": "model",
        "load_peak_mb": "peak of the load",
        "inference_peak_mb": "peak of inference",
        "reserved_peak_mb": "reserved by the allocator, peak",
        "device_used_mb": "used on the device",
        "process_used_mb": "used by the process on the device",
        "rss_peak_mb": "resident in RAM, peak",
        "residual_mb": "left after the unload",
    },
    "kv_cache": {"used_mb": "KV cache", "read_mb": "KV cache read"},
}


def memory(shown: Shown) -> Section:
    """A bar for each that is known; of the others the reasons."""
    known, whys = dict(_known(shown)), dict(_whys(shown))
    if not known:
        text = "Nothing is known of its memory: " + _listed(whys)
        return Section(key=KEY, title=TITLE, missing=text)
    told = f"Not known: {_listed(whys)}" if whys else ""
    return Section(key=KEY, title=TITLE, told=told, charts=[_chart(known)])


def _known(shown: Shown) -> Iterator[tuple[str, float]]:
    for group, names in _GROUPS.items():
        block = shown.side.experiment.extended.get(group) or {}
        for key, label in names.items():
            if block.get(key) is not None:
                yield label, block[key]


def _whys(shown: Shown) -> Iterator[tuple[str, str]]:
    for group, names in _GROUPS.items():
        for key, label in names.items():
            why = shown.nulls.get(f"extended.{group}.{key}")
            if why is not None:
                yield label, why


def _listed(whys: Mapping[str, str]) -> str:
    return "; ".join(f"{label} ({why})" for label, why in whys.items()) + "."


def _chart(known: Mapping[str, float]) -> Chart:
    made = layout("memory [MB]", "")
    made["yaxis"] |= {"autorange": "reversed"}
    made["height"] = 120 + 34 * len(known)
    return Chart(
        key=KEY,
        title="Memory",
        told=f"Largest of all cycles, most for: {max(known, key=known.__getitem__)}.",
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "name": "memory",
                "y": list(known),
                "x": list(known.values()),
                "marker": {"color": COLOURS[0]},
                "hovertemplate": "%{y}: %{x:.4g} MB<extra></extra>",
            }
        ],
        layout=made,
        columns=("what", "MB"),
        rows=[[label, value] for label, value in known.items()],
    )
