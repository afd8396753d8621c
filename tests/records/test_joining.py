"""One report of several processes, from parts made by hand."""

from pytest_lem.records.export import row
from pytest_lem.records.joining import joined, traces_of
from tests.store.making import report


def part(name, uuid, started_at):
    """What a process with a GPU of its own wrote of one experiment."""
    made = report("s", [name])
    ran = {"experiment_id": name, "cycle": 0, "started_at": started_at}
    meter = {"name": "nvml", "devices": [{"id": uuid}]}
    return made.model_copy(
        update={
            "session": made.session.model_copy(update={"meters": [meter]}),
            "environment": made.environment | {"gpu": [{"uuid": uuid}]},
            "plan": made.plan.model_copy(update={"executed": [ran]}),
            "timeseries": {"trace_path": f"{uuid}.gz"},
        }
    )


def test_what_processes_had_of_their_own_adds_up():
    """Experiments keep their order, cycles are in the order they ran, GPUs are once."""
    parts = [part("a", "G1", "3"), part("b", "G0", "1"), part("c", "G1", "2")]
    made = joined(lambda: iter(parts), "interrupted")
    assert [one.id for one in made] == [one.id for one in made] == ["a", "b", "c"]
    found = made.head
    assert [one["experiment_id"] for one in found.plan.executed] == ["b", "c", "a"]
    assert [one["uuid"] for one in found.environment["gpu"]] == ["G1", "G0"]
    assert len(found.session.meters) == 2
    assert found.session.status == "interrupted"
    assert [(one["trace_path"], one["experiments"]) for one in traces_of(found)] == [
        ("G1.gz", ["a", "c"]),
        ("G0.gz", ["b"]),
    ]
    paths = [row(found, one)["traces_path"] for one in made]
    assert paths == ["G1.gz", "G0.gz", "G1.gz"]
