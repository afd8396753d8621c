"""Where values come from: default, ini, marker, parametrisation, command line."""

import pytest

SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    lem()
"""


def test_every_value_records_where_it_came_from(run, report):
    """The record's provenance names the place that won, key by key."""
    source = """
    import pytest

    pytestmark = pytest.mark.lem(batch_size=2, requests=4, fake={"prefill_s": 0.001})

    @pytest.mark.lem(batch_size=3, windows=2)
    @pytest.mark.parametrize("output_tokens", [6])
    def test_it(lem, output_tokens):
        lem()
    """
    run(
        source,
        "--lem-cycles=1",
        "--lem-set=requests=5",
        "--lem-set=fake.jitter_s=[0.001]",
        "--lem-json=r.json",
    ).assert_outcomes(passed=1)
    (one,) = report().experiments
    workload, effort = one.spec["workload"], one.spec["effort"]
    assert (workload["batch_size"], workload["requests"]) == (3, 5)
    assert (workload["output_tokens"], workload["input_tokens"]) == (6, 4)
    assert (effort["cycles"], effort["windows"]) == (1, 2)
    assert one.spec["engine"] == {
        "token_s": 0.001,
        "prefill_s": 0.001,
        "jitter_s": [0.001],
    }
    expected = {
        "backend": "ini",
        "batch_size": "marker",
        "cycles": "cli",
        "fake.jitter_s": "cli",
        "fake.prefill_s": "marker",
        "fake.token_s": "ini",
        "input_tokens": "ini",
        "output_tokens": "parametrize",
        "requests": "cli",
        "seed": "default",
        "timeout": "default",
        "warmup": "ini",
        "windows": "marker",
    }
    assert one.provenance.items() >= expected.items()


@pytest.mark.parametrize(
    ("mark", "arguments", "tokens", "origin"),
    [
        ("", (), 4, "ini"),
        ("output_tokens=5", (), 5, "marker"),
        ("output_tokens=5", ("--lem-set=output_tokens=7",), 7, "cli"),
    ],
)
def test_a_later_layer_wins(run, report, mark, arguments, tokens, origin):
    """Configuration file, then marker, then command line."""
    source = SOURCE.replace("mark.lem", f"mark.lem({mark})")
    run(source, *arguments, "--lem-json=r.json").assert_outcomes(passed=1)
    (one,) = report().experiments
    assert one.spec["workload"]["output_tokens"] == tokens
    assert one.provenance["output_tokens"] == origin


def test_parametrisation_beats_the_marker(run, report):
    """A parameter named like a key sets it, over the markers; its mark is closest."""
    source = """
    import pytest

    @pytest.mark.lem(batch_size=9)
    @pytest.mark.parametrize(
        "batch_size",
        [2, pytest.param(3, marks=pytest.mark.lem(output_tokens=5), id="long")],
    )
    def test_it(lem, batch_size):
        lem()
    """
    run(source, "--lem-json=r.json").assert_outcomes(passed=2)
    workloads = [one.spec["workload"] for one in report().experiments]
    assert [one["batch_size"] for one in workloads] == [2, 3]
    assert [one["output_tokens"] for one in workloads] == [4, 5]


def test_the_model_option_overrides_markers(run, report):
    """--lem-model beats the marker's model, and both beat the embedded default."""
    source = """
    import pytest

    @pytest.mark.lem(model="synthetic:qwen3-0.6b")
    def test_it(lem):
        lem()
    """
    for arguments, name in (
        ((), "synthetic:qwen3-0.6b"),
        (("--lem-model=synthetic:llama-3.2-1b",), "synthetic:llama-3.2-1b"),
    ):
        run(source, *arguments, "--lem-json=r.json").assert_outcomes(passed=1)
        assert report().experiments[0].spec["model"]["name"] == name


def test_ini_twins_are_effective(run, project, report, notes):
    """Each option works from the configuration file as from the command line."""
    project.makefile(
        ".ini",
        pytest="""
        [pytest]
        addopts = -p no:randomly -p no:hypothesispytest
        lem_backend = fake
        lem_model = synthetic:qwen3-0.6b
        lem_meter = fake:70
        lem_idle = auto
        lem_idle_seconds = 1
        lem_cycles = 1
        lem_windows = 2
        lem_max_seconds = 4
        lem_warmup = fixed:3
        lem_order = reversed
        lem_seed = 5
        lem_timeout = 50
        lem_json = r.json
        lem_csv = r.csv
        lem_carbon_intensity = 400
        lem_pue = 2
        lem_set =
            input_tokens=4
            output_tokens=4
            fake.prefill_s=0
            fake.token_s=0.05
        """,
    )
    source = """
    import pytest

    @pytest.mark.lem
    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_it(lem, batch_size, note):
        note(batch_size)
        lem()
    """
    run(source).assert_outcomes(passed=2)
    assert notes() == ["2", "1"]
    assert (project.path / "r.csv").exists()
    record = report()
    assert record.session.meters[0]["facts"] == {"power_w": 70}
    carbon = record.session.carbon
    assert (carbon["intensity_g_per_kwh"], carbon["pue"]) == (400, 2)
    assert (record.plan.order, record.plan.seed) == ("reversed", 5)
    one = record.experiments[0]
    assert one.spec["model"]["name"] == "synthetic:qwen3-0.6b"
    assert one.spec["workload"]["seed"] == 5
    assert one.spec["effort"] == {
        "cycles": 1,
        "windows": 2,
        "min_seconds": 1.0,
        "max_seconds": 4.0,
        "warmup": "fixed:3",
        "timeout": 50.0,
        "cold_start": False,
    }
    (cycle,) = one.cycles
    assert cycle.idle.power_w == pytest.approx(70)
    assert cycle.warmup.iterations == 3
    joules, seconds = cycle.metrics["energy_gross_j"], cycle.metrics["duration_s"]
    assert joules == pytest.approx(70 * seconds)
    emissions_g = joules / 3.6e6 * 400 * 2
    assert cycle.metrics["emissions_g_co2e"] == pytest.approx(emissions_g)


def test_a_warm_up_that_must_converge_fails_its_experiment(run, report):
    """`lem_warmup_unconverged=fail`; the engine of the failed cycle is thrown away."""
    source = """
    import pytest

    pytestmark = pytest.mark.lem(fake={"jitter_s": [0, 0.01]})

    @pytest.mark.lem(warmup="cv:0.01,window=2,min=2,max=3")
    def test_restless(lem):
        lem()

    def test_same_engine(lem):
        lem()
    """
    arguments = ("-o", "lem_warmup_unconverged=fail", "--lem-cycles=1")
    result = run(source, *arguments, "--lem-json=r.json")
    result.assert_outcomes(passed=1, failed=1)
    restless, same = (one.cycles[0] for one in report().experiments)
    assert (restless.status, restless.error.kind) == ("failed", "generation")
    assert (restless.warmup.converged, restless.warmup.iterations) == (False, 3)
    assert same.status == "complete"
    assert same.worker["pid"] != restless.worker["pid"]
    run(None, "--lem-cycles=1", "--lem-json=r.json").assert_outcomes(passed=2)
    restless, same = report().experiments
    assert "warmup_not_converged" in restless.flags
    assert "warmup_not_converged" not in same.flags


def test_the_command_line_beats_the_ini(run, report):
    """An option typed wins over its ini twin."""
    run(SOURCE, "-o", "lem_seed=5", "--lem-seed=6", "--lem-json=r.json")
    assert report().plan.seed == 6
    assert report().experiments[0].provenance["seed"] == "cli"


def test_plan_from_the_ini_runs_nothing(run, project):
    """The flags --lem-plan and --lem-strict have twins that take true and false."""
    result = run(SOURCE, "-o", "lem_plan=yes")
    result.stdout.fnmatch_lines(["*nothing is run*"])
    assert not (project.path / ".lem").exists()
    run(None, "-o", "lem_plan=no").assert_outcomes(passed=1)


def test_help_shows_the_group(project):
    """`pytest --help` has the options, their defaults and the ini keys."""
    result = project.runpytest_inprocess("--help")
    result.stdout.fnmatch_lines(
        [
            "energy and performance of LLM inference:",
            "*--lem-backend=NAME*",
            "*--lem-cycles=N*",
            "*lem_idle_seconds*",
        ]
    )


def test_markers_lists_ours(project):
    """`pytest --markers` documents the marker and its keys."""
    result = project.runpytest_inprocess("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.lem(model=..., *"])


def test_a_mode_of_throttling_is_warn_fail_or_rerun(run, errors_of):
    """Another word is a usage error that offers both."""
    result = run(SOURCE, "--lem-throttle=again")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line == "--lem-throttle='again' is none of warn, fail, rerun"
    run(SOURCE, "--lem-throttle=fail").assert_outcomes(passed=1)


def test_a_temperature_is_degrees_and_perhaps_a_timeout(run, errors_of):
    """What is neither is refused, and so is waiting where there is no GPU."""
    (line,) = errors_of(run(SOURCE, "--lem-thermal=50,soon"))
    assert line == (
        "--lem-thermal='50,soon' is not a number above 0; write C or stable, or "
        "either,TIMEOUT"
    )
    result = run(SOURCE, "--lem-thermal=50")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line.startswith("--lem-thermal: no GPU is part of this run")
