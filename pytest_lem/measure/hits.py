"""Whether prompts were found in the engine's cache, where a test says that they are."""

from pytest_lem.errors import ConfigError, GenerationError
from pytest_lem.measure.notebook import Notebook

HITS, QUERIES = "prefix_cache_hits", "prefix_cache_queries"


def require_hits(notes: Notebook) -> None:
    """Raise GenerationError where the energy windows found less than they had to.

    And ConfigError where the engine does not tell what it found.
    """
    experiment = notes.experiment
    least = experiment.workload.least_hit_rate
    if least is None:
        return
    told = [run.generation.native.get("scheduler") for run in notes.energy_passes]
    known = [one for one in told if one and one.get(QUERIES)]
    if not known or len(known) < len(told):
        raise ConfigError(
            f"least_hit_rate={least}: {experiment.spec.backend} does not tell what it "
            "found in its prefix cache, or looks for nothing there"
        )
    rate = sum(one[HITS] for one in known) / sum(one[QUERIES] for one in known)
    if rate < least:
        raise GenerationError(
            f"{rate:.4f} of the prompt tokens were found in the prefix cache, below "
            f"least_hit_rate={least}: is prefix caching on, and the shared prefix at "
            "least a block of the cache?"
        )
