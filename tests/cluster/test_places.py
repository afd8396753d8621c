"""By which machine an experiment of a cluster is judged."""

from types import SimpleNamespace

from pytest_lem.gate.side import sides


def test_an_experiment_is_judged_by_the_machine_that_measured_it():
    """One of a session on one machine by that; others are left out of it."""
    places = {"GPU-1": {"cpu": {"model": "one"}}, "GPU-2": {"cpu": {"model": "two"}}}
    ran = [SimpleNamespace(machine={"node": {"place": place}}) for place in places]
    local = SimpleNamespace(machine={})
    experiments = [SimpleNamespace(cycles=[one]) for one in (*ran, local)]
    environment = {"cpu": {"model": "one"}, "places": places}
    record = SimpleNamespace(
        session=None, environment=environment, experiments=experiments
    )
    found = [one.environment for one in sides(record)]
    assert found == [*places.values(), environment]
