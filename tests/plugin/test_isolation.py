"""What has a process of its own: a cycle, an engine spec, or a backend."""

import pytest

TWO = """
import pytest

@pytest.mark.lem
@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_it(lem, precision, batch_size, note):
    note(f"{precision[5:]}-{batch_size}")
    lem()

@pytest.mark.lem(precision="float32", cold_start=True)
def test_cold(lem):
    lem()
"""
ONE = ("--lem-cycles=1", "--lem-json=r.json")
PLAN = ["32-1", "32-2", "16-1", "16-2"]
BY_ENGINE = ["32-1", "32-2", "32-1", "32-2", "16-1", "16-2", "16-1", "16-2"]


@pytest.mark.parametrize(
    ("level", "ran", "processes"),
    [("spec", BY_ENGINE, 2), ("none", PLAN * 2, 1)],
)
def test_cycles_share_a_process_as_far_as_is_asked(
    run, notes, report, level, ran, processes
):
    """A cold start never does; what is shared says so, and has no load of its own."""
    arguments = (f"--lem-isolation={level}", "-k", "not cold", "--lem-json=r.json")
    run(TWO, *arguments, "--lem-meter=fake:50").assert_outcomes(passed=4, deselected=1)
    assert notes() == ran
    record = report()
    cycles = [cycle for one in record.experiments for cycle in one.cycles]
    assert len({cycle.worker["pid"] for cycle in cycles}) == processes
    assert record.session.isolation == level
    assert all("shared_process" in one.flags for one in record.experiments)
    later = [one.cycles[1] for one in record.experiments]
    reasons = {cycle.nulls.get("load_duration_s") for cycle in later}
    told = "loaded_in_an_earlier_cycle" if level == "spec" else None
    assert reasons == {told}


def test_a_cold_start_has_a_process_of_its_own(run, report):
    """Also where all others share one; they get another one after it."""
    run(TWO, "--lem-isolation=none", "-k", "32 or cold", *ONE)
    cold = next(one for one in report().experiments if one.cold)
    warm = [one for one in report().experiments if not one.cold]
    own = {cycle.worker["pid"] for cycle in cold.cycles}
    assert len(own) == 1
    assert "shared_process" not in cold.flags
    assert {c.worker["pid"] for c in warm[0].cycles} - own


def test_what_does_not_fit_beside_is_unloaded_first(run, extend, project, notes):
    """In one process for a backend one model is there at a time."""
    extend(
        "\ndef pytest_lem_register_engines(registry):\n"
        "    from pytest_lem.engines.registry import EngineEntry\n"
        "    registry.add(EngineEntry(name='strict', target='strict_engine:Strict'))\n"
    )
    project.makepyfile(
        strict_engine="""
        from pathlib import Path
        from pytest_lem.engines.fake import FakeEngine

        class Strict(FakeEngine):
            there = 0

            def load(self, spec):
                self.there += 1
                with Path("notes.txt").open("a") as file:
                    file.write(f"load-{self.there} ")
                return super().load(spec)

            def unload(self):
                self.there -= 1
                super().unload()
        """
    )
    arguments = ("--lem-backend=strict", "-o", "lem_set=", "--lem-isolation=none")
    run(TWO, *arguments, "-k", "not cold").assert_outcomes(passed=4, deselected=1)
    loads = [word for word in notes() if word.startswith("load")]
    assert loads == ["load-1"] * 4


@pytest.mark.slow
@pytest.mark.parametrize(("level", "loads"), [("spec", 2), ("none", 4)])
def test_a_real_engine_lives_through_its_cycles(run, report, level, loads):
    """Its tokens are the same, and it is loaded as often as its spec changes."""
    source = TWO.replace("mark.lem\n", "mark.lem(input_tokens=8, output_tokens=4)\n")
    source = source.replace("float16", "bfloat16")
    arguments = ("--lem-backend=transformers", "-o", "lem_set=", "-k", "not cold")
    more = (f"--lem-isolation={level}", "--lem-json=r.json")
    run(source, *arguments, *more).assert_outcomes(passed=4, deselected=1)
    cycles = [cycle for one in report().experiments for cycle in one.cycles]
    assert len({c.worker["pid"] for c in cycles}) == (2 if level == "spec" else 1)
    told = {(c.index, c.load["duration_s"]) for c in cycles if c.load["duration_s"]}
    assert len(told) == loads
