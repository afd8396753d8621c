"""Whether experiments have the GPUs that they need side by side."""

from collections.abc import Iterator, Sequence

from pytest_lem.engines import Capabilities
from pytest_lem.engines.registry import Registry
from pytest_lem.errors import ConfigError
from pytest_lem.front.program import Program
from pytest_lem.spec.experiment import Experiment
from pytest_lem.worker.devices import environment_for
from pytest_lem.worker.launch.ranks import gpus_for, is_afar, ranks_of


def check_ranks(
    program: Program, registry: Registry, gpus: Sequence[str], remedy: str
) -> None:
    """Raise ConfigError where an experiment needs other GPUs than the run has.

    `gpus` are their UUIDs; `remedy` says how it gets more.
    """
    for who, count, said in _needs(program, registry):
        if 0 < len(gpus) < count:
            msg = f"{who}.{said} needs {count} GPUs and the run has {len(gpus)}"
            raise ConfigError(f"{msg}: {remedy}")
    for experiment, capabilities in _each(program, registry):
        spec = experiment.spec
        if ranks_of(capabilities, spec.engine, gpus) is None:
            environment_for(gpus)


def check_seats(program: Program, registry: Registry, gpus: int) -> None:
    """Raise ConfigError where an experiment needs more than a session on a node has."""
    for experiment, capabilities in _each(program, registry):
        spec = experiment.spec
        if is_afar(capabilities, spec.engine):
            path, value = capabilities.afar or ("", "")
            raise ConfigError(
                f"{experiment.id}: {spec.backend}.{path}={value!r} takes GPUs that no "
                "session on a node holds: leave out --lem-launch, and say "
                "--lem-meter=cluster"
            )
    for who, count, said in _needs(program, registry):
        if 0 < gpus < count:
            raise ConfigError(
                f"{who}.{said} needs {count} GPUs and each session on a node has "
                f"{gpus}: --lem-gpus-per-worker={count}"
            )


def _each(
    program: Program, registry: Registry
) -> Iterator[tuple[Experiment, Capabilities]]:
    for experiment in program.experiments.values():
        yield experiment, registry.find(experiment.spec.backend).capabilities


def _needs(program: Program, registry: Registry) -> Iterator[tuple[str, int, str]]:
    """Who an experiment is, how many GPUs it needs, and what says so."""
    for experiment, capabilities in _each(program, registry):
        spec = experiment.spec
        who = f"{experiment.id}: {spec.backend}"
        try:
            count, said = gpus_for(capabilities, spec.engine)
        except ConfigError as error:
            raise ConfigError(f"{who}.{error}") from error
        yield who, count, said
