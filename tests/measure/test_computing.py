"""Operations, utilisation and memory of windows, with an engine that tells its work."""

import json
from dataclasses import replace

import pytest

from pytest_lem.analysis.architecture import from_config
from pytest_lem.analysis.flops import Work, closed_form, kv_cache_bytes
from pytest_lem.engines import Capabilities
from pytest_lem.machine.peaks import Peak
from pytest_lem.measure.watching import profile_name
from pytest_lem.meters.fake import FakeMeter
from pytest_lem.workload.models import resolve

SHAPE = from_config(resolve("synthetic:llama-tiny", backend="fake").config)
TELLS = f"""
import dataclasses
SHAPE = {SHAPE.to_json()!r}
class Odd(FakeEngine):
    def load(self, spec):
        loaded = super().load(spec)
        facts = {{"closed_form": "checked", "parameters": 886016}}
        if self._script.fail_kind == "sliding":
            facts["sliding_window"] = 10
        facts |= {{"decode_weights_mb": 2.0, "kv_cache_element_bytes": 2}}
        return dataclasses.replace(
            loaded,
            model=loaded.model | SHAPE | facts,
            effective={{"precision": {{"compute": "float16"}}}},
            memory={{"model_mb": 3.0, "load_peak_mb": 4.0}},
            devices=["GPU-0"],
        )
    def collect(self, batches, outcomes, spans, options):
        found = dict(super().collect(batches, outcomes, spans, options))
        sizes = [len(batch.prompts) for batch in batches]
        work = [(n, 0, 8, options.output_tokens) for n in sizes]
        return found | {{"work": work}}
    def count_flops(self, batches, options, *, until_s):
        if self._script.fail_kind == "timeout":
            raise from_kind("timeout", "too slow")
        work = [(len(b.prompts), 0, 8, options.output_tokens) for b in batches]
        return {{"prefill": 70, "decode": 30, "work": work, "kv_cache_mb": 0.5}}
    def profile(self, batches, options, path):
        if self._script.fail_kind == "out_of_memory":
            raise MemoryError("full")
        path.write_text("{{}}")
        return {{"path": str(path), "flops": 12}}
from pytest_lem.errors import from_kind
"""
STAMPS = Capabilities(streaming="tokens")
PEAK = Peak(
    flops_per_s={"float16": 1e12}, bandwidth_bytes_per_s=1e12, source="a test's own"
)
# Four requests in twos: the fake engine's runs take 10 ms each, all of it decoding.
WORK = [Work(2, 0, 8, 4)] * 2
FORM = closed_form(SHAPE, WORK)


@pytest.fixture
def cycle_of(make_lab, experiment, measure, odd_engine):
    """A cycle of one window on an engine that tells everything."""

    def make(*, script=None, streaming=False, left_out=0, index=0, **conditions):
        lab = make_lab(
            FakeMeter(100.0),
            engine=replace(odd_engine(TELLS), capabilities=STAMPS),
            **{"peaks": {"GPU-0": PEAK}, **conditions},
        )
        one = experiment(
            script={"prefill_s": 0.1, "token_s": 0.05, **(script or {})},
            effort={"windows": 1},
            batch_size=2,
            requests=4,
            streaming=streaming,
            streaming_warmup_requests=left_out,
        )
        return measure(lab, one, index=index)

    return make


def test_a_window_tells_its_operations_and_how_they_were_found(cycle_of):
    """By the closed form, per token of each kind and per joule."""
    cycle = cycle_of()
    found = cycle.windows[0].flops
    assert (found["total"], found["prefill"]) == (FORM.total, FORM.prefill)
    assert found["per_output_token"] == FORM.decode / 16
    assert found["per_input_token"] == FORM.prefill / 32
    gross_j = cycle.windows[0].energy.gross_j
    assert found["per_joule"] == pytest.approx(FORM.total / gross_j)
    assert (found["method"], found["confidence"]) == ("architecture", "high")
    assert found["padding_included"] is True
    assert found["precision"] == "float16"
    assert cycle.metrics["flops"] == FORM.total
    assert cycle.metrics["flops_per_joule"] == pytest.approx(FORM.total / gross_j)


def test_mfu_is_what_the_requests_need_over_what_the_gpu_could_do(cycle_of):
    """Two runs of 0.25 s at a peak of 1e12 operations per second."""
    cycle = cycle_of()
    needed = closed_form(SHAPE, [Work(1, 0, 8, 4)] * 4).total
    assert cycle.windows[0].flops["needed"] == needed
    assert cycle.metrics["mfu"] == pytest.approx(needed / (0.5 * 1e12))


def test_mbu_needs_token_stamps(cycle_of):
    """Without: null with the reason. A latency window has them at batch size 1."""
    bare = cycle_of()
    assert bare.metrics["mbu"] is None
    assert bare.nulls["mbu"] == "no_token_stamps"
    stamped = cycle_of(phases=True)
    # In each run, 3 steps of 2 MB of weights and, for 2 rows, a cache of 9, 10, 11.
    cache = 2 * (9 + 10 + 11) * SHAPE.key_value_elements * 2
    expected = 2 * (3 * 2e6 + cache) / (2 * 0.15 * 1e12)
    assert stamped.metrics["mbu"] == pytest.approx(expected)
    streamed = cycle_of(streaming=True)
    one = (3 * 2e6 + cache / 2) / (0.15 * 1e12)
    assert streamed.metrics["mbu"] == pytest.approx(one)
    warmed = cycle_of(streaming=True, left_out=3)
    latency = warmed.windows[-1]
    assert latency.requests == 13
    assert latency.flops["decode_duration_s"] == pytest.approx(10 * 0.15)
    assert warmed.metrics["mbu"] == pytest.approx(one)


@pytest.mark.parametrize(
    ("peaks", "reason"),
    [
        ({}, "no_peak_for_this_gpu"),
        (
            {"GPU-0": Peak(flops_per_s={}, bandwidth_bytes_per_s=1e12, source="")},
            "no_peak_for_precision",
        ),
    ],
)
def test_an_unknown_peak_is_null_with_the_reason(cycle_of, peaks, reason):
    """Operations are known all the same."""
    cycle = cycle_of(peaks=peaks)
    assert cycle.metrics["mfu"] is None
    assert cycle.nulls["mfu"] == cycle.nulls["windows.flops.mfu"] == reason
    assert cycle.metrics["flops"] == FORM.total


def test_a_counting_pass_is_for_windows_of_its_own_work(cycle_of):
    """The latency window, one request at a time, falls back to the closed form."""
    cycle = cycle_of(flops="measured", streaming=True)
    energy, latency = cycle.windows
    assert (energy.flops["method"], energy.flops["total"]) == ("measured", 100)
    assert energy.memory["kv_cache_read_mb"] == 0.5
    assert latency.flops["method"] == "architecture"
    assert latency.flops["reason"] == "measured: other_work_than_counted"
    assert latency.memory["kv_cache_read_mb"] is None
    assert len(cycle.windows) == 2


def test_a_count_that_takes_too_long_leaves_the_cycle_whole(cycle_of):
    """The windows count, by the next method, and the reason is told."""
    cycle = cycle_of(flops="measured", script={"fail_kind": "timeout"})
    assert cycle.status == "complete"
    found = cycle.windows[0].flops
    assert (found["method"], found["reason"]) == ("architecture", "measured: timeout")


def test_switched_off_nothing_is_counted(cycle_of):
    """Null, because of that."""
    cycle = cycle_of(flops="off", phases=True)
    names = ("flops", "flops_per_joule", "mfu", "mbu")
    assert [cycle.metrics[name] for name in names] == [None] * 4
    assert {cycle.nulls[name] for name in names} == {"off"}


def test_a_sliding_window_leaves_cache_and_reading_unknown(cycle_of):
    """Layers with a window hold and read less than the form says."""
    cycle = cycle_of(script={"fail_kind": "sliding"}, phases=True)
    window = cycle.windows[0]
    assert window.flops["confidence"] == "medium"
    assert window.memory["kv_cache_mb"] is None
    assert cycle.nulls["windows.memory.kv_cache_mb"] == "sliding_window"
    assert cycle.nulls["mbu"] == "sliding_window"


def test_memory_is_told_size_by_size(cycle_of):
    """The cache by its closed form; what nobody told is null with a reason."""
    cycle = cycle_of()
    held = kv_cache_bytes(SHAPE, WORK, 2)
    assert cycle.windows[0].memory["kv_cache_mb"] * 1e6 == pytest.approx(held)
    assert cycle.load["load_peak_mb"] == 4.0
    assert cycle.nulls["windows.memory.kv_cache_read_mb"] == "not_asked_for"
    assert cycle.machine["memory"] == {"device_used_mb": None, "process_used_mb": None}
    assert "extended.memory.device_used_mb" in cycle.nulls


def test_a_profile_is_made_once_and_named_after_the_experiment(cycle_of, tmp_path):
    """In the first cycle; the record has the path and what the profiler found."""
    folder = tmp_path / "profiles"
    first = cycle_of(torch_profile=folder)
    path = folder / profile_name("t.py::test")
    assert first.native["torch_profile"] == {"path": str(path), "flops": 12}
    assert json.loads(path.read_text()) == {}
    second = cycle_of(torch_profile=folder, index=1)
    assert "torch_profile" not in second.native


def test_a_profile_that_fails_is_flagged_and_the_cycle_counts(cycle_of, tmp_path):
    """By the kind of its failure."""
    cycle = cycle_of(torch_profile=tmp_path, script={"fail_kind": "out_of_memory"})
    assert cycle.status == "complete"
    assert "profile_failed" in cycle.flags
    assert cycle.nulls["native.torch_profile"] == "out_of_memory"


def test_profiles_of_two_experiments_never_share_a_name():
    """Also where only what no file name can hold differs."""
    one, two = profile_name("t.py::test[a/b]"), profile_name("t.py::test[a|b]")
    assert one != two
    assert one.startswith("t.py_test_a_b-")
    assert len(profile_name("x" * 999)) < 140
