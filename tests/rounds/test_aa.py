"""`lem aa`: the noise of an unchanged suite, and the gate's false alarms."""

import json

import pytest

SPEED = "output_throughput_tps"


@pytest.mark.slow
def test_noise_is_told_and_kept_where_the_gate_finds_it(project):
    """Three sessions lend their noise to a reference of one."""
    project.slow_down("1 + os.getpid() % 7 / 1000")
    limit = f"--fail={SPEED}:5%"
    done = project.lem("aa", "3", limit, "--out=o", "--", "test_it.py")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[1:4]] == [
        f"round {k} of 3" for k in (1, 2, 3)
    ]
    (row,) = (line.split() for line in lines if f" {SPEED} " in line)
    assert row[1:3] == [SPEED, "3"]
    assert lines[-2].startswith("false alarms are not known: ")
    assert lines[-1] == (f"the gate finds this noise in {project.cache / 'noise.json'}")
    told = json.loads((project.path / "o" / "aa.json").read_text())
    (one,) = told["experiments"]
    assert 0 <= one["std_of_logs"] < 0.01
    assert one["held_out"]["judged"] == 0
    run, old = "o/01-suite.json", "o/02-suite.json"
    done = project.lem("gate", run, f"--against={old}", limit)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "judged by noise of 3 sessions stored 20" in done.stdout
