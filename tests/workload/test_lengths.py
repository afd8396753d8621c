"""Lengths of requests: drawn as described, from the seed, the same everywhere."""

from statistics import fmean, stdev

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.spec.lengths import Lengths, examples
from pytest_lem.workload.lengths import digest, drawn

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
        ("a,b\n1,2\n", "has no column input_tokens or ContextTokens: it has a, b"),
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
