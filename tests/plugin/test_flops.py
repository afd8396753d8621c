"""`--lem-flops` and `--lem-torch-profile`, from the command line to the record."""

import json
import math

import pytest

from pytest_lem.machine import gpu

NO_GPU = gpu.absence()

SOURCE = """
import pytest

@pytest.mark.lem(
    input_tokens=16, output_tokens=5, batch_size=2, requests=4, streaming=True,
    streaming_warmup_requests=0, transformers={"device": "cpu"},
)
def test_it(lem):
    result = lem()
    assert result.flops_per_output_token > 0
    assert result.mfu.reason == "no_peak_for_cpu"
"""

OPTIONS = (
    "--lem-cycles=1",
    "--lem-windows=1",
    "--lem-idle=off",
    "--lem-warmup=off",
    "--lem-meter=fake:50",
    "--lem-json=r.json",
)


def test_the_real_engine_is_counted_and_profiled_after_its_windows(pytester, report):
    """Its own counter agrees with the closed form; windows are none the wiser."""
    pytest.importorskip("transformers")
    pytester.makepyfile(test_it=SOURCE)
    options = ("--lem-backend=transformers", *OPTIONS, "-p", "no:randomly")
    asked = ("--lem-flops=measured", "--lem-torch-profile=profiles")
    pytester.runpytest_subprocess(*options, *asked).assert_outcomes(passed=1)
    (one,) = report().experiments
    assert not {"profile_failed", "host_overhead"} & set(one.flags)
    (cycle,) = one.cycles
    energy, latency = cycle.windows
    assert energy.flops["method"] == "measured"
    assert energy.flops["total"] == energy.flops["needed"]  # without pads, by the form
    assert latency.flops["method"] == "architecture"
    assert latency.flops["confidence"] == "high"
    assert energy.memory["kv_cache_read_mb"] == energy.memory["kv_cache_mb"]
    (trace,) = (pytester.path / "profiles").iterdir()
    assert cycle.native["torch_profile"]["path"] == str(trace)
    assert json.loads(trace.read_text())["traceEvents"]


def test_an_unknown_method_is_refused_at_once(run, errors_of):
    """With the choices."""
    lines = errors_of(run(SOURCE, "--lem-flops=exact"))
    assert any("--lem-flops" in line and "measured" in line for line in lines)


@pytest.mark.parametrize("option", ["--lem-torch-profile", "--lem-save-outputs"])
@pytest.mark.parametrize("place", ["there.txt", "nowhere/profiles"])
def test_a_place_that_cannot_hold_files_is_refused_at_once(
    run, errors_of, project, option, place
):
    """A file, or a folder in a folder that is not there."""
    (project.path / "there.txt").write_text("")
    (line,) = errors_of(run(SOURCE, f"{option}={place}"))
    assert line.startswith(f"{option}={place}: ")
    assert line.endswith("is no directory")


def test_a_loop_of_the_tests_own_is_counted_by_the_work_it_did(run, report):
    """All that the engine generated inside the window; it has no counting pass."""
    source = """
    import pytest

    @pytest.mark.lem
    def test_it(lem, engine):
        with lem.window() as w:
            w.count(engine.generate(["one two"], output_tokens=3))
    """
    run(source, "--lem-flops=measured", "--lem-json=r.json").assert_outcomes(passed=1)
    window = report().experiments[0].cycles[0].windows[0]
    assert window.flops["method"] == "architecture"
    assert window.flops["reason"].startswith("measured: custom_loop")


LARGE = """
import pytest

@pytest.mark.lem(
    model="synthetic:llama-3.2-1b", precision="bfloat16", input_tokens=256,
    output_tokens=16, batch_size=4, requests=8, transformers={"device": "cuda"},
)
def test_it(lem):
    lem()
"""


@pytest.mark.gpu
@pytest.mark.skipif(NO_GPU is not None, reason=str(NO_GPU))
def test_a_real_gpu_stays_below_its_peaks(pytester, report):
    """Counted operations are the form's; MFU, MBU and memory are what can be."""
    pytest.importorskip("transformers")
    pytester.makepyfile(test_it=LARGE)
    options = ("--lem-backend=transformers", "--lem-flops=measured", "--lem-phases")
    pytester.runpytest_subprocess(
        *options, *OPTIONS[:2], "--lem-json=r.json", "-p", "no:randomly"
    ).assert_outcomes(passed=1)
    (one,) = report().experiments
    cycle = one.cycles[0]
    (window,) = cycle.windows
    assert window.flops["method"] == "measured"
    # The angles of rotary embeddings are a product in some versions: 3 in 100 million.
    assert window.flops["needed"] == pytest.approx(window.flops["total"], rel=1e-6)
    assert window.flops["precision"] == "bfloat16"
    for name in ("mfu", "mbu"):
        known = cycle.metrics[name] is not None
        assert known or cycle.nulls[name] == "no_peak_for_this_gpu"
        assert not known or 0 < cycle.metrics[name] < 1
    memory = one.extended["memory"]
    assert one.extended["kv_cache"]["read_mb"] == one.extended["kv_cache"]["used_mb"]
    assert memory["model_mb"] <= memory["inference_peak_mb"]
    assert memory["inference_peak_mb"] <= memory["reserved_peak_mb"]
    assert memory["reserved_peak_mb"] <= memory["device_used_mb"]
    told = memory["process_used_mb"] or math.inf
    assert memory["reserved_peak_mb"] <= told
