"""`--lem-search`: which experiments it can be asked of, and what it found of each."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_lem.errors import ConfigError, SearchError
from pytest_lem.front.items import registry_of
from pytest_lem.front.settings import SETTINGS

if TYPE_CHECKING:
    from pytest_lem.measure.laboratory import Laboratory
    from pytest_lem.records.record import Cycle
    from pytest_lem.spec.experiment import Experiment
    from pytest_lem.spec.search import Search


def check_search(experiment: "Experiment", config: pytest.Config) -> None:
    """Raise ConfigError where a search is asked for that cannot be."""
    settings = config.stash[SETTINGS]
    if settings["search"] is None:
        return
    where = settings.says("search")
    able = registry_of(config).find(experiment.spec.backend).capabilities
    times = able.streaming != "none"
    found = list(_problems(experiment, settings["search"], times=times))
    if found:
        raise ConfigError("\n".join(f"{where}: {line}" for line in found))


def _problems(
    experiment: "Experiment", asked: "Search", *, times: bool
) -> Iterator[str]:
    from pytest_lem.analysis.bisection import least_requests

    workload, arrivals = experiment.workload, experiment.workload.arrivals
    if workload.slo is None:
        yield "needs slo, which says what makes a request good"
    elif workload.slo.of_tokens and not times:
        yield f"slo.{workload.slo.of_tokens[0]}: the engine tells no times of tokens"
    if experiment.effort.cold_start:
        yield "needs a warm engine, and so no cold_start"
    if arrivals is None:
        yield "needs arrivals, with the rate_rps to start at"
    elif arrivals.rate_rps is None or arrivals.end_rate_rps is not None:
        yield "needs arrivals of one rate: neither mode=trace nor end_rate_rps"
    counted = workload.request_count
    if workload.streaming:
        counted = workload.latency_request_count - workload.streaming_warmup_requests
    least = -(-least_requests(asked.share) // (1 + asked.repeats))
    if counted < least:
        yield (
            f"requests={counted} cannot show a share of {asked.share:g}, even if all "
            f"are good: give at least {least}, or {least_requests(asked.share)} to "
            "pass without a repeat"
        )


def searched(identity: str, asked: "Search | None") -> str:
    """The identity of work at a rate that is to be found, whatever is found."""
    if asked is None:
        return identity
    what = f"{identity} {asked}"
    return hashlib.sha256(what.encode()).hexdigest()[:16]


class Searches:
    """The rates found in a session, by experiment."""

    def __init__(self, asked: "Search | None") -> None:
        self._asked = asked
        self._rates_rps: dict[str, float] = {}

    def restore(self, cycles: "Iterable[tuple[str, Sequence[Cycle]]]") -> None:
        """Take in the rates that an earlier session found, by its trials."""
        from pytest_lem.records.search import search_record

        for name, some in cycles if self._asked is not None else ():
            found = search_record(some)
            if found is not None and found["rate_rps"] is not None:
                self._rates_rps[name] = found["rate_rps"]

    def at_found(
        self,
        lab: "Laboratory",
        experiment: "Experiment",
        cycle: int,
        keep: "Callable[[Cycle], None]",
    ) -> "Experiment":
        """The experiment at the rate found, which is searched for before its cycles.

        As it is where no search was asked for. Raises SearchError where no rate passed.
        """
        from pytest_lem.measure.searching import at_rate, search_rate

        if self._asked is None:
            return experiment
        if experiment.id not in self._rates_rps:
            found = search_rate(lab, experiment, self._asked, cycle, keep)
            if found.rate_rps is None:
                raise SearchError(
                    f"no rate was found at which a share of {self._asked.share:g} of "
                    f"the requests meets the limits: failed from {found.failed_rps}/s "
                    f"on, undecided at {found.undecided_rps or 'none'}; lower "
                    "arrivals.rate_rps, ask for less, or give more requests"
                )
            self._rates_rps[experiment.id] = found.rate_rps
        return at_rate(experiment, self._rates_rps[experiment.id])
