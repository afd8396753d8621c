"""What does not go with `--lem-launch`, before anything is collected."""

from types import SimpleNamespace

import pytest

from pytest_lem.engines.registry import Registry
from pytest_lem.errors import ConfigError
from pytest_lem.front.needs import check_seats

SOURCE = "def test_it(lem):\n    lem()\n"
PLACED = """
import pytest

@pytest.mark.lem(placement={"gpu_type": "H100"})
@pytest.mark.parametrize("batch_size", [1, 2])
def test_it(lem, batch_size):
    lem()
"""


def test_what_does_not_go_with_nodes_is_refused_by_name(run, errors_of):
    """A line for each."""
    said = ("--lem-gpus=0", "--lem-traces=t", "--pdb", "-s")
    result = run(SOURCE, "--lem-launch=ray", *said)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    told = [line.partition(":")[0] for line in errors_of(result)]
    assert told == ["--lem-gpus", "--lem-traces", "--pdb, --trace", "-s"]


def test_an_option_of_nodes_alone_says_what_it_needs(run, errors_of):
    """It would do nothing."""
    (line,) = errors_of(run(SOURCE, "--lem-gpu-type=H100"))
    assert line == "--lem-gpu-type: say --lem-launch=ray with it"


def test_a_placement_is_refused_where_there_are_no_nodes(run, errors_of):
    """In one line for all, and it can be taken back; who only looks is let through."""
    (line,) = errors_of(run(PLACED))
    assert line == (
        "test_it.py::test_it[fake-1] (and 1 more): placement (gpu_type=H100) chooses "
        "among nodes of a cluster: say --lem-launch=ray, or --lem-set placement=null "
        "to measure here"
    )
    run(PLACED, "--lem-set", "placement=null").assert_outcomes(passed=2)
    assert run(PLACED, "--collect-only").ret == pytest.ExitCode.OK


def test_a_launch_that_is_none_is_refused_with_what_is(run, errors_of):
    """So is one without an address."""
    (line,) = errors_of(run(SOURCE, "--lem-launch=slurm"))
    assert line == "--lem-launch='slurm' is none of local, ray, ray://HOST:PORT"
    (line,) = errors_of(run(SOURCE, "--lem-launch=ray://"))
    assert line == "--lem-launch='ray://' has no address: write ray://HOST:PORT"


def program(**section):
    """One experiment of vLLM."""
    spec = SimpleNamespace(backend="vllm", engine=section)
    return SimpleNamespace(experiments={"t": SimpleNamespace(id="t", spec=spec)})


def test_a_session_of_fewer_gpus_than_an_experiment_needs_is_refused():
    """It would fail there, or wait; without GPUs the engine runs on CPUs."""
    wide = program(tensor_parallel_size=2, pipeline_parallel_size=2)
    with pytest.raises(ConfigError) as caught:
        check_seats(wide, Registry(), 2)
    assert caught.value.message == (
        "t: vllm.tensor_parallel_size=2 x pipeline_parallel_size=2 needs 4 GPUs and "
        "each session on a node has 2: --lem-gpus-per-worker=4"
    )
    check_seats(wide, Registry(), 4)
    check_seats(wide, Registry(), 0)


def test_an_engine_that_takes_gpus_of_ray_itself_is_refused_on_nodes():
    """The sessions there hold them."""
    with pytest.raises(
        ConfigError, match="leave out --lem-launch, and say --lem-meter"
    ):
        check_seats(program(distributed_executor_backend="ray"), Registry(), 1)
