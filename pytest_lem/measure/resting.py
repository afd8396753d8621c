"""What a cycle waits for before its engine is asked for."""

from pytest_lem.measure.laboratory import Laboratory
from pytest_lem.measure.notebook import Notebook


def rest_before(lab: Laboratory, notes: Notebook) -> None:
    """The gap to what ran before, then the temperature to begin at; both are noted.

    Before a cold start no engine is left that did anything.
    """
    if notes.experiment.effort.cold_start:
        lab.drop()
        notes.flags.add("cold_start")
    elif lab.conditions.isolation != "cycle":
        notes.flags.add("shared_process")
    notes.gap_s = lab.pause(notes.experiment, notes.index)
    notes.note_cooling(lab.cool())
