"""Prompts that an engine's cache may still hold from when they were asked before."""

from typing import TYPE_CHECKING

from pytest_lem.measure.notebook import Notebook

if TYPE_CHECKING:
    from pytest_lem.measure.laboratory import Laboratory

REPEATED = "cached_prompts_repeat"


def note_repeats(lab: "Laboratory", notes: Notebook) -> None:
    """Flag a cycle whose prompts were asked before, where prefixes stay in a cache.

    By the same spec, in another window, cycle or experiment. An engine says of itself
    in `effective.prefix_caching` whether what it has computed is `on` for later passes;
    one that empties its cache before each pass, or has none, has nothing to hide. Where
    experiments differ in that setting, comparing it is what they are for.
    """
    bench = notes.bench
    if bench is None or bench.loaded.effective.get("prefix_caching") != "on":
        return
    if bench.spec.backend in lab.conditions.caching_varied:
        return
    asked = lab.asked.setdefault(bench.spec.model_dump_json(), {})
    for run in notes.passes:
        here = (notes.experiment.id, notes.draw, run.index)
        if asked.setdefault(run.token_sha256, here) != here:
            notes.flags.add(REPEATED)
