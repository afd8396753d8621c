"""One word for one thing, and a unit in every name that has one."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import fields
from functools import reduce
from itertools import pairwise

import pytest

from pytest_lem import hookspecs
from pytest_lem.analysis.failures import FAILURES
from pytest_lem.analysis.metrics import METRICS
from pytest_lem.front.options import OPTIONS
from pytest_lem.machine.gpu import Gpu
from pytest_lem.measure.thermal import thermal
from pytest_lem.meters import Telemetry
from pytest_lem.records.export import columns
from pytest_lem.spec.effort import EFFORT_KEYS
from pytest_lem.spec.experiment import MARKER_KEYS, SPEC_KEYS, WORKLOAD_KEYS

# Each thing, its one word, and the words that others use for it.
WORDS = {
    "backend": "framework provider engine_name runtime",
    "batch_size": "bs batchsize batch_sizes",
    "cycle": "iteration iterations rep reps repeat repeats repetition repetitions "
    "round rounds run runs trial trials",
    "duration": "elapsed walltime wall_time took",
    "emissions": "co2 footprint",
    "energy": "consumption joules watts watt",
    "idle": "background baseline standby",
    "input_tokens": "input_length isl max_input_tokens prompt_len prompt_length "
    "prompt_tokens",
    "memory": "mem vram",
    "meter": "monitor probe tracker",
    "net": "dynamic marginal",
    "output_tokens": "completion_tokens generated_tokens max_new_tokens "
    "max_output_tokens max_tokens new_tokens osl",
    "period": "interval poll_interval sampler_interval sampling_interval sampling_rate",
    "precision": "data_type dtype fp_precision torch_dtype",
    "requests": "n_requests num_prompts num_requests queries",
    "seed": "random_seed random_state",
    "temperature": "temp",
    "utilisation": "util utilization",
    "warmup": "warm_up warming",
    "window": "lap laps measurement measurements",
    "worker": "child subprocess",
}

# Where such a word is the right one.
RIGHT = {
    "max-runs": "experiments, which a campaign runs; they have cycles of their own",
    "trial": "a window at a rate that a search tries; it counts in no cycle",
    "iterations": "passes of a warm-up, which belong to one cycle",
    **dict.fromkeys(
        ("sample-interval", "sample_interval_s"),
        "what is asked for; a period is what a source turns out to have",
    ),
    "tokens_per_gb_vram": "the field's name for it",
    **{f"tokens_per_gb_vram_ci_{end}": "its interval" for end in ("low", "high")},
}

# Names that the list of CSV columns prescribes, and what the record calls the same.
PRESCRIBED = {
    "output_tokens_per_s": "output_throughput_tps",
    "total_tokens_per_s": "total_throughput_tps",
    "energy_ram_j": "dram_j",
    "start_time": "started_at",
    "end_time": "ended_at",
}

# What engines, models, packages and null paths call their own things; a model's
# `dtype`, for instance, is what its weights are, beside the `precision` asked for.
OTHERS = {"effective", "native", "packages", "model", "nulls", "provenance"}

UNITS = {
    "J": "_j",
    "1": ("mfu", "mbu", "attainment", "perplexity"),
    "FLOP": "flops",
    "FLOP/J": "flops_per_joule",
    "FLOP/token": ("flops_per_output_token", "flops_per_input_token"),
    "J*s": "_js",
    "J*s2": "_js2",
    "J/token": "_j",
    "J/request": "_j",
    "MB": "_mb",
    "W": "_w",
    "g": "_g_co2e",
    "ms": "_ms",
    "request/J": "goodput_per_joule",
    "request/s": "_rps",
    "s": "_s",
    "token/GB": "tokens_per_gb_vram",
    "token/J": "tokens_per_joule",
    "token2/(J*s)": "token_efficiency_index",
    "token/s": "_tps",
}
UNIT = re.compile(r"_(j|js|js2|s|ms|ns|w|tps|rps|mb|mhz|pct|c|g_co2e|g_per_kwh)$")

# Numbers without a unit: counts, ratios and ordinals.
UNITLESS = {
    "attempt": "ordinal",
    "flops": "FLOP",
    "total": "FLOP",
    "prefill": "FLOP",
    "decode": "FLOP",
    "needed": "FLOP",
    "per_output_token": "FLOP/token",
    "per_input_token": "FLOP/token",
    "per_joule": "FLOP/J",
    "flops_per_output_token": "FLOP/token",
    "flops_per_input_token": "FLOP/token",
    "flops_per_joule": "FLOP/J",
    "attainment": "share of requests",
    "perplexity": "a number of tokens",
    "output_perplexity": "a number of tokens",
    "batch_size": "requests at once",
    "batches[]": "requests in each batch",
    "cores_logical": "count",
    "cores_physical": "count",
    "cv": "ratio: standard deviation over mean",
    "cycle": "ordinal",
    "cycles": "count",
    "effective_batch_size": "requests at once, mean",
    "expected": "count of polls",
    "failures": "count of polls",
    "hw_thermal": "ratio: share of the window with that reason",
    "idle_share": "ratio: idle energy over gross",
    "index": "ordinal",
    "input": "tokens",
    "input_tokens": "tokens",
    "iterations": "count of warm-up passes",
    "left_out": "requests",
    **dict.fromkeys(("sent", "completed", "without_tokens", *FAILURES), "requests"),
    "min_output_tokens": "tokens",
    "output": "tokens",
    "output_tokens": "tokens",
    "padding": "tokens",
    "padding_overhead": "ratio: padding over all tokens",
    "pcie_generation": "ordinal",
    "pcie_width": "lanes",
    "pid": "process id",
    "planned": "count of cycles",
    "polls": "count",
    "pstate": "ordinal",
    "pue": "ratio",
    "requests": "count",
    "samples": "count",
    "seed": "number",
    "starved_share": "ratio: share of samples without work",
    "streaming_warmup_requests": "count",
    "sw_thermal": "ratio: share of samples with that reason",
    "timeout": "seconds; the word that pytest-timeout made known",
    "max_seconds": "seconds",
    "min_seconds": "seconds",
    "token_efficiency_index": "product of two metrics",
    "tokens_per_gb_vram": "token/GB",
    "tokens_per_joule": "token/J",
    "windows": "count",
}

TEST = """
import pytest

@pytest.mark.lem(input_tokens=4, output_tokens=4, batch_size=2, streaming=True)
def test_it(lem):
    lem()
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """What one small session writes: its JSON, and the names of its CSV columns."""
    folder = tmp_path_factory.mktemp("naming")
    (folder / "test_it.py").write_text(TEST)
    (folder / "pytest.ini").write_text("[pytest]\nlem_idle_seconds = 1\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--lem-backend=fake", "--lem-meter=fake", "--lem-cycles=2"]
    command += ["--lem-windows=1", "--lem-warmup=fixed:3", "--lem-carbon-intensity=1"]
    command += ["--lem-set=fake.token_s=0.001"]
    command += ["--lem-json=report.json", "--lem-csv=report.csv"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with (folder / "report.csv").open() as file:
        header = next(csv.reader(file))
    return json.loads((folder / "report.json").read_text()), header


def leaves(value, path=()):
    """(path, value) of every leaf; a list adds `[]` to its own name."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key not in OTHERS:
                yield from leaves(one, (*path, key))
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one, (*path[:-1], f"{path[-1]}[]"))
    else:
        yield path, value


def names(report):
    """Every key of a report that is ours."""
    for path, _ in leaves(report):
        yield from (part.removesuffix("[]") for part in path)


def synonyms(found):
    """(name, word that it should have used) of names that say it otherwise."""
    for name in sorted(set(found) - set(RIGHT)):
        spelt = f"_{name.replace('-', '_').lower()}_"
        for word, others in WORDS.items():
            if any(f"_{other}_" in spelt for other in others.split()):
                yield name, word


def number(value):
    """Whether a JSON value is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def has_unit(path):
    """Whether a number's name, or that of the group it is in, ends with a unit."""
    keys = [part.removesuffix("[]") for part in path]
    return any(UNIT.search(key) for key in keys)


def test_options_and_ini_names_say_one_word_for_one_thing():
    """No option is called by a synonym of what markers and records call it."""
    assert not list(synonyms(one.name for one in OPTIONS))


def test_marker_keys_say_one_word_for_one_thing():
    """A marker has `precision`, never `dtype`; `cycles`, never `iterations`."""
    keys = set(MARKER_KEYS)
    assert not list(synonyms(keys))
    assert not keys & set(RIGHT)


def test_metrics_and_csv_columns_say_one_word_for_one_thing():
    """Columns are metrics and record keys under their own names."""
    assert not list(synonyms([*METRICS, *columns()]))


def test_hooks_say_one_word_for_one_thing():
    """Hooks and their arguments are called as records call the same."""
    hooks = [name for name in vars(hookspecs) if name.startswith("pytest_lem_")]
    arguments = [
        argument
        for hook in hooks
        for argument in getattr(hookspecs, hook).__code__.co_varnames
    ]
    assert hooks
    assert not list(synonyms([*hooks, *arguments]))


def test_record_keys_say_one_word_for_one_thing(reports):
    """Every key of a report, except what engines and models call their own."""
    report, _ = reports
    found = set(names(report))
    assert {"windows", "warmup", "cycles", "energy"} <= found
    assert not list(synonyms(found))


def test_the_check_notices_a_synonym():
    """The table is applied to whole words, with hyphens and inside longer names."""
    wrong = ["max-iterations", "baseline_w", "sampler_interval", "dtype_name"]
    found = dict(synonyms([*wrong, "period_s", "previous_s", "temperature_max_c"]))
    assert list(found.values()) == ["idle", "precision", "cycle", "period"]


def test_an_option_is_spelt_like_the_marker_key_it_overrides():
    """Each effort key has an option of its name, and each option an ini twin."""
    options = {one.name.replace("-", "_") for one in OPTIONS}
    assert {"model", "seed", *EFFORT_KEYS} <= options
    assert [one.dest for one in OPTIONS] == [
        "lem_" + one.name.replace("-", "_") for one in OPTIONS
    ]


def test_options_are_registered_under_their_names(request):
    """pytest knows each option and each ini key by the name in the table."""
    config = request.config
    for one in OPTIONS:
        config.getini(one.dest)
        if not one.ini_only:
            assert config.getoption(one.flag) == config.getoption(one.dest)


def test_the_record_spells_spec_workload_and_effort_like_the_marker(reports):
    """What was typed is found again under the same key."""
    report, _ = reports
    spec = report["experiments"][0]["spec"]
    assert set(spec["workload"]) == set(WORKLOAD_KEYS)
    assert set(spec["effort"]) == set(EFFORT_KEYS)
    assert spec["backend"] == "fake"
    typed = set(SPEC_KEYS) - {"backend", "model"}
    assert typed <= set(spec["model"])


def test_csv_columns_are_called_like_metrics_and_record_keys(reports):
    """A column has the record's name for the value, or a prescribed one."""
    report, header = reports
    assert header == columns()
    known = {*METRICS, *MARKER_KEYS, *names(report), *(f.name for f in fields(Gpu))}
    for path, _ in leaves(report):
        parts = [part.removesuffix("[]") for part in path]
        known |= {"_".join(pair) for pair in pairwise(parts)}
    plain = [re.sub(r"_ci_(low|high)$", "", name) for name in header]
    strange = {name for name in plain if name not in known} - set(PRESCRIBED)
    # Values of GPUs, containers and engines that a small session does not have.
    assert strange <= {
        "cpu_governor",
        "driver_version",
        "gpu_memory_mb",
        "gpu_name",
        "in_container",
        "kv_cache_hit_rate",
        "search_confirmation",
        "search_failed_rps",
        "search_rate_rps",
        "temperature_max_c",
        "throttle_s",
        "throttled",
        "traces_path",
        "verdict",
    }


def test_prescribed_names_are_columns_and_their_twins_are_not():
    """A value stands in the CSV file once, under the prescribed name."""
    header = set(columns())
    assert set(PRESCRIBED) <= header
    assert not set(PRESCRIBED.values()) & header


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_ends_with_its_unit(name):
    """The unit is read off the name."""
    assert name.endswith(UNITS[METRICS[name].unit])


def test_numbers_of_a_record_carry_their_unit(reports):
    """A number's key, its group, or a unit beside it names the unit; or it has none."""
    report, _ = reports
    without = set()
    for path, value in leaves(report):
        if not number(value) or has_unit(path) or path[-1] in UNITLESS:
            continue
        if "unit" in reduce(step, path[:-1], report):
            continue
        without.add(".".join(path))
    assert not without


def step(value, part):
    """One key down a record; into the first of a list."""
    return value[part.removesuffix("[]")][0] if part.endswith("[]") else value[part]


@pytest.mark.parametrize("kind", [Gpu, Telemetry])
def test_facts_of_a_gpu_carry_their_unit(kind):
    """Power, clocks, memory and temperature name theirs; ordinals have none."""
    numeric = [f.name for f in fields(kind) if f.type in {"float", "float | None"}]
    ordinals = [f.name for f in fields(kind) if f.type in {"int", "int | None"}]
    assert numeric
    assert [name for name in numeric if not UNIT.search(name)] == []
    assert set(ordinals) <= set(UNITLESS)


def test_thermal_facts_carry_their_unit():
    """What telemetry says of a window is in degrees, watts, percent and megahertz."""
    samples = [
        Telemetry(
            device="GPU-0",
            time_s=float(k),
            power_w=100.0,
            temperature_c=40.0 + k,
            sm_clock_mhz=1000.0,
            memory_clock_mhz=1000.0,
            utilisation_pct=50.0,
            throttle_reasons=("sw_thermal",),
            pstate=0,
        )
        for k in range(2)
    ]
    block = thermal(samples, 1.0, {"GPU-1": {"hw_thermal": 0.5}})
    numbers = [path for path, value in leaves(block) if number(value)]
    assert len(numbers) > 8
    without = [path[-1] for path in numbers if not has_unit(path)]
    assert set(without) <= set(UNITLESS)
    assert not list(synonyms(part for path in numbers for part in path))
