"""`-p tests.costs`, by which it is seen what makes the tests take their time."""

SOURCE = """
import subprocess, sys, pytest

def test_own():
    sum(range(300_000))

def test_started():
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)

@pytest.mark.skip
def test_skipped(): ...
"""


def test_files_and_tests_are_told_with_the_processes_they_waited_for(pytester):
    """The dearest first."""
    pytester.makepyfile(test_it=SOURCE)
    done = pytester.runpytest_inprocess("-p", "tests.costs", "-p", "no:randomly")
    done.assert_outcomes(passed=2, skipped=1)
    done.stdout.fnmatch_lines(
        [
            "*= * s of CPU in tests =*",
            "* s  test_it.py",
            "* s  test_it.py::test_started",
            "* s  test_it.py::test_own",
        ]
    )
