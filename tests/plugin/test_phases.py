"""`--lem-phases`: prefill and decode apart, at the batch size of the experiment."""

import pytest

SOURCE = """
import pytest

@pytest.mark.lem(
    input_tokens=48, output_tokens=9, batch_size=3, requests=6,
    transformers={"device": "cpu"},
)
def test_it(lem):
    lem()
"""

REAL = ("--lem-backend=transformers", "--lem-meter=fake:50", "--lem-phases")


@pytest.fixture
def measured(pytester):
    """Run an experiment on the tiny model on the CPU in a session of its own."""
    pytest.importorskip("transformers")

    def measured(*options):
        pytester.makepyfile(test_it=SOURCE)
        return pytester.runpytest_subprocess(
            *options,
            "--lem-model=synthetic:llama-tiny",
            "--lem-cycles=1",
            "--lem-windows=2",
            "--lem-idle=off",
            "--lem-warmup=fixed:1",
            "--lem-json=r.json",
            "-p",
            "no:randomly",
        )

    return measured


def test_the_real_engine_tells_its_phases(measured, report):
    """Two batches of three a window: each token of theirs is in one phase.

    Nothing was drafted, and the record says so.
    """
    measured(*REAL).assert_outcomes(passed=1)
    (one,) = report().experiments
    assert "token_stamped" in one.flags
    windows = one.cycles[0].windows
    assert [window.kind for window in windows] == ["energy"] * 2
    for window in windows:
        found = window.phases
        assert found["prefill"]["input_tokens"] == 6 * 48
        assert found["decode"]["output_tokens"] == 6 * 8
        parts = [found[name] for name in ("prefill", "decode", "other")]
        assert sum(part["duration_s"] for part in parts) == pytest.approx(
            window.duration_s, abs=1e-6
        )
        assert sum(part["energy_j"] for part in parts) == pytest.approx(
            window.energy.gross_j
        )
        assert min(part["duration_s"] for part in parts[:2]) > 0
        assert found["nulls"]["request_energy_j"] == "requests_share_a_batch"
    drafts = one.extended["speculation"]
    assert drafts["verify_calls"] is None
    assert {one.nulls[f"extended.speculation.{key}"] for key in drafts} == {"no_drafts"}
    assert one.summary["decode_power_w"].value == pytest.approx(50.0)
    assert one.summary["decode_throughput_tps"].value == pytest.approx(
        2 * 48 / sum(window.phases["decode"]["duration_s"] for window in windows)
    )


def test_beams_have_no_tokens_to_stamp(run, pytester):
    """Refused before anything starts, in one line that says what to change."""
    source = """
    import pytest

    @pytest.mark.lem(decoder={"num_beams": 2})
    def test_it(lem):
        lem()
    """
    done = run(source, "--lem-phases")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*test_it.py::test_it*: decoder.num_beams=2 needs *"])
    late = """
    from pytest_lem import Workload

    def test_it(lem, engine):
        lem(engine, Workload(decoder={"num_beams": 2}))
    """
    done = run(late, "--lem-phases")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*decoder.num_beams=2 needs --lem-phases off*"])


def test_a_loop_of_the_test_s_own_has_phases_too(run, report):
    """What its engine generates is stamped; where it is not, the reason is told."""
    source = """
    def test_it(lem, engine):
        with lem.window() as w:
            w.count(engine.generate([[1] * 5, [2] * 5], output_tokens=4))
    """
    for options, available in ((("--lem-phases",), True), ((), False)):
        run(source, *options, "--lem-meter=fake", "--lem-json=r.json")
        (one,) = report().experiments
        phases = one.cycles[0].windows[0].phases
        assert phases["available"] is available
        assert ("token_stamped" in one.flags) is available
    assert phases["reason"] == one.nulls["summary.prefill_power_w"] == "no_token_stamps"
