"""What does not go with `--lem-launch`, before anything is collected."""

import pytest

SOURCE = "def test_it(lem):\n    lem()\n"


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


def test_a_launch_that_is_none_is_refused_with_what_is(run, errors_of):
    """So is one without an address."""
    (line,) = errors_of(run(SOURCE, "--lem-launch=slurm"))
    assert line == "--lem-launch='slurm' is none of local, ray, ray://HOST:PORT"
    (line,) = errors_of(run(SOURCE, "--lem-launch=ray://"))
    assert line == "--lem-launch='ray://' has no address: write ray://HOST:PORT"
