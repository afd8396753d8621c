"""Lengths of requests: drawn as described, from the seed, the same everywhere."""

from statistics import correlation, fmean, stdev

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.spec.lengths import Lengths, examples
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.lengths import (
    beside,
    digest,
    drawn,
    inputs_of,
    output_digest,
    outputs_of,
)

PINNED = {
    "uniform:low=64,high=512": [283, 187, 147, 392, 98, 297],
    "normal:mean=256,std=64": [254, 158, 170, 279, 204, 474],
    "lognormal:mean=256,std=200,high=2048": [197, 70, 80, 259, 116, 437],
}


def draw(text, count=2000, seed=42):
    return drawn(Lengths.parse(text), count, seed)


@pytest.mark.parametrize("text", PINNED)
def test_lengths_never_change(text):
    """Pinned: any platform draws the same, and the first ones stay the first."""
    assert draw(text, 6) == PINNED[text]
    assert draw(text, 3) == PINNED[text][:3]
    assert draw(text, 6, seed=1) != PINNED[text]


def test_distributions_have_the_mean_and_the_spread_that_they_name():
    """Within three standard errors of 2000 draws."""
    found = draw("normal:mean=256,std=64")
    assert fmean(found) == pytest.approx(256, abs=3 * 64 / 2000**0.5)
    assert stdev(found) == pytest.approx(64, rel=0.05)
    skewed = draw("lognormal:mean=256,std=200")
    assert fmean(skewed) == pytest.approx(256, abs=3 * 200 / 2000**0.5)
    assert stdev(skewed) == pytest.approx(200, rel=0.2)
    assert sorted(skewed)[1000] < 220
    even = draw("uniform:low=1,high=4")
    assert {n: even.count(n) > 430 for n in range(1, 5)} == dict.fromkeys(
        range(1, 5), True
    )


def test_no_length_is_beyond_its_limits():
    """What falls outside is drawn again, so that the limits collect nothing."""
    found = draw("normal:mean=100,std=50,low=80,high=120")
    assert (min(found), max(found)) == (80, 120)
    assert found.count(80) < 100
    assert draw("fixed:7", 3) == [7, 7, 7]


def test_rows_of_a_file_are_drawn_as_often_as_they_occur(tmp_path):
    """Each row as likely as another, and every row sooner or later."""
    path = tmp_path / "sizes.csv"
    path.write_text("input_tokens\n10\n20\n20\n20\n")
    found = draw(f"file:{path}")
    assert set(found) == {10, 20}
    assert found.count(10) == pytest.approx(500, abs=60)


def test_answers_are_drawn_apart_from_prompts():
    """Pinned as well; long prompts have no longer answers for it."""
    both = "uniform:low=1,high=1000"
    workload = Workload(input_lengths=both, output_lengths=both)
    into, out = inputs_of(workload, 2000), outputs_of(workload, 2000)
    assert out[:4] == [222, 419, 761, 939]
    assert outputs_of(workload, 4) == out[:4]
    assert abs(correlation(into, out)) < 0.07
    assert inputs_of(Workload(), 3) is outputs_of(Workload(), 3) is None


@pytest.fixture
def pairs(tmp_path):
    """A file in which answers are ten times as long as prompts, and one of columns."""
    path = tmp_path / "pairs.csv"
    rows = "".join(f"{k},{10 * k}\n" for k in range(1, 51))
    path.write_text(f"ContextTokens,GeneratedTokens\n{rows}")
    return path


@pytest.mark.parametrize("kind", ["file", "trace"])
def test_a_pair_stays_together(pairs, kind):
    """Drawn rows, or all of them in their order; another file's are independent."""
    workload = Workload(input_lengths=f"{kind}:{pairs}", output_lengths="paired")
    into, out = inputs_of(workload, 50), outputs_of(workload, 50)
    assert out == [10 * length for length in into]
    assert (into == list(range(1, 51))) is (kind == "trace")
    own = Workload(input_lengths=f"file:{pairs}", output_lengths=f"file:{pairs}")
    assert outputs_of(own, 50) != [10 * length for length in inputs_of(own, 50)]


def test_a_trace_has_a_row_for_each_request_of_the_longest_window(pairs):
    """Or collection ends with how many there are, and how many are asked for."""
    workload = Workload(
        input_lengths=f"trace:{pairs.name}", output_lengths="paired", requests=50
    )
    found = beside(workload, pairs.parent)
    assert outputs_of(found, 2) == [10, 20]
    assert output_digest(found).startswith("paired:trace:")
    streamed = workload.model_copy(update={"streaming": True})
    with pytest.raises(ConfigError, match="has 50 rows, and a window has 55 requests"):
        beside(streamed, pairs.parent)
    least = workload.model_copy(update={"min_output_tokens": 11})
    with pytest.raises(ConfigError, match="min_output_tokens=11 is above the 10 "):
        beside(least, pairs.parent)


def test_a_file_counts_by_its_content(tmp_path):
    """Not by its name, nor by what else it holds."""
    one, two = tmp_path / "a.csv", tmp_path / "b.jsonl"
    one.write_text("when,ContextTokens\nnow,10\nthen,20\n")
    two.write_text('{"input_tokens": 10}\n{"input_tokens": 20}\n')
    first, second = (digest(Lengths.parse(f"file:{path}")) for path in (one, two))
    assert first == second
    two.write_text('{"input_tokens": 10}\n{"input_tokens": 21}\n')
    assert digest(Lengths.parse(f"file:{two}")) != first


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a,b\n1,2\n", "has no column input_tokens or .*ContextTokens: it has a, b"),
        ("input_tokens\n1\nx\n", "line 3: input_tokens='x' is no whole number above 0"),
        ("input_tokens\n0\n", "line 2: input_tokens='0' is no whole number above 0"),
        ("input_tokens\n", "is empty: write one request a row"),
    ],
)
def test_a_file_without_lengths_is_refused(content, line, tmp_path):
    """With the place, where there is one."""
    path = tmp_path / "pairs.csv"
    path.write_text(content)
    with pytest.raises(ConfigError, match=line):
        draw(f"file:{path}")


@pytest.mark.parametrize("text", examples())
def test_what_is_parsed_is_told_so_that_it_is_parsed_again(text):
    """The text of a record can be typed."""
    assert Lengths.parse(str(Lengths.parse(text))) == Lengths.parse(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("gamma:k=1", "'gamma:k=1' is none of fixed:128, uniform:"),
        ("fixed:0", "fixed='0' is no whole number of at least 1"),
        ("uniform:low=5", "lacks high"),
        ("uniform:low=5,high=4", "high is below low"),
        ("uniform:low=5,high=9,std=1", "'std' is no part of uniform"),
        ("normal:mean=5,std=0", "std is not above 0"),
        ("normal:mean=5,std=1,high=4", "mean is not between low and high"),
        ("normal:mean=5,std=99,low=5,high=6", "too close for that std; say uniform"),
        ("lognormal:mean=nan,std=1", "mean='nan' is no number of at least 0"),
        ("file:", "'file:' names no file"),
    ],
)
def test_a_distribution_that_cannot_be_drawn_is_refused(text, line):
    """The text, and what it lacks."""
    with pytest.raises(ValueError, match=line):
        Lengths.parse(text)
