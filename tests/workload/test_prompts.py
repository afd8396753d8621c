"""Prompts: exact length, no shared beginnings, the same everywhere."""

import random
import subprocess
import sys
from itertools import chain

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.workload import prompts

SPECIAL = frozenset({0, 1, 2, 256, 257, 258})
PINNED = "ae1f5391746b858e26d0abd1ee32e25fa5798d32a28eb09f5b54388748fda684"
FIRST = [363, 28, 31, 99, 25, 105, 205, 253, 302, 301, 349, 200]


def make(count=4, **changes):
    """Prompts of a small model, changed as asked."""
    options = {
        "input_tokens": 32,
        "vocab_size": 384,
        "seed": 0,
        "cycle": 0,
        "window": 0,
        "reserved": SPECIAL,
    }
    return prompts.synthetic(count, **{**options, **changes})


def test_prompts_have_exact_length_and_allowed_ids():
    """Every prompt has the length asked for and no id outside the vocabulary."""
    for length in (1, 2, 7, 8, 500):
        made = make(20, input_tokens=length)
        assert [len(prompt) for prompt in made] == [length] * 20
        ids = {token for prompt in made for token in prompt}
        assert ids <= set(range(384)) - SPECIAL


def test_every_allowed_id_is_used():
    """The ids spread over the whole vocabulary, not over a part of it."""
    ids = {token for prompt in make(50, input_tokens=400) for token in prompt}
    assert ids == set(range(384)) - SPECIAL


@pytest.mark.parametrize("vocab_size", [2, 16, 256, 384, 128_256])
def test_no_two_openings_are_alike(vocab_size):
    """Over cycles, windows, warm-up and requests every nonce is different."""
    digits = prompts._digits(vocab_size)
    seen = set()
    for cycle in range(3):
        for window in (-2, -1, 0, 1, 2):
            made = prompts.synthetic(
                200,
                input_tokens=digits,
                vocab_size=vocab_size,
                seed=7,
                cycle=cycle,
                window=window,
            )
            seen |= {tuple(prompt) for prompt in made}
    assert len(seen) == 3 * 5 * 200


def test_openings_differ_at_the_far_ends_of_the_ranges():
    """The largest cycle, window and request still have a nonce of their own."""
    places = [
        (cycle, window, first)
        for cycle in (0, 1, 65_520)
        for window in (-32_760, -1, 0, 32_760)
        for first in (0, 1, 16_777_212)
    ]
    made = {
        tuple(make(1, input_tokens=7, cycle=cycle, window=window, first=first)[0])
        for cycle, window, first in places
    }
    assert len(made) == len(places)


def test_neighbours_differ_in_their_first_token():
    """As many requests as there are ids: each opens with another one."""
    made = make(378)
    assert len({prompt[0] for prompt in made}) == 378


def test_windows_seldom_open_with_the_same_token():
    """The same request of the next window or cycle opens with another token."""
    for size in (256, 384, 1000, 32_000):
        options = {"vocab_size": size, "reserved": frozenset()}
        first = make(1, **options)[0][0]
        assert make(1, window=1, **options)[0][0] != first
        assert make(1, cycle=1, **options)[0][0] != first


def test_short_prompts_differ_as_long_as_they_can():
    """With two tokens of eight ids, 64 prompts of a window are all different."""
    made = make(64, input_tokens=2, vocab_size=8, reserved=frozenset())
    assert len({tuple(prompt) for prompt in made}) == 64


def test_a_longer_prompt_does_not_begin_with_a_shorter_one():
    """After the nonce, prompts of different lengths have different texts."""
    short, long = make(1, input_tokens=32)[0], make(1, input_tokens=64)[0]
    assert short[:7] == long[:7]
    assert short[7:] != long[7:32]


def test_prompts_share_exactly_the_prefix_asked_for():
    """In every window and cycle; what follows is as different as ever."""
    made = [*make(9, shared=20), *make(9, shared=20, window=1), *make(9, shared=20)]
    (common,) = {tuple(prompt[:20]) for prompt in made}
    assert {len(prompt) for prompt in made} == {32}
    assert len({prompt[20] for prompt in made[:9]}) == 9
    assert set(common) <= set(range(384)) - SPECIAL
    assert make(1, shared=20, seed=1)[0][:20] != list(common)
    with pytest.raises(ConfigError, match="32 tokens has none beside the 32 shared"):
        make(1, shared=32)


def test_a_request_is_the_same_however_it_is_asked_for():
    """`first` picks up where an earlier call ended."""
    assert make(3) + make(5, first=3) == make(8)


@pytest.mark.parametrize("change", [{"seed": 1}, {"cycle": 1}, {"window": -1}])
def test_another_seed_cycle_or_window_gives_other_prompts(change):
    """Nothing is shared beyond chance: the ids differ in most places."""
    pairs = zip(chain(*make(20)), chain(*make(20, **change)), strict=True)
    assert sum(left == right for left, right in pairs) < 0.05 * 640


def test_prompts_never_change():
    """The ids are pinned: another platform, Python or numpy gives the same."""
    made = make(2, input_tokens=12, seed=1, cycle=2, window=3)
    assert prompts.token_sha256(made) == PINNED
    assert made[0] == FIRST


def test_the_callers_generators_play_no_part():
    """Neither the global seed nor the hash seed of the process matters."""
    random.seed(1)
    here = prompts.token_sha256(make(3))
    code = (
        "from pytest_lem.workload import prompts as p; import sys; "
        "print(p.token_sha256("
        "p.synthetic(3, input_tokens=32, vocab_size=384, seed=0, cycle=0, window=0, "
        "reserved=frozenset({0, 1, 2, 256, 257, 258})))); "
        "assert 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "5", "PATH": ""},
        check=True,
    )
    assert done.stdout.strip() == here


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"input_tokens": 0}, "input_tokens is 0"),
        ({"cycle": -1}, "cycle is -1"),
        ({"cycle": 65_521}, "cycle is 65521"),
        ({"window": 40_000}, "window is 40000"),
        ({"first": 16_777_213}, "first is 16777213"),
        ({"vocab_size": 4}, "vocab_size 4 has 1"),
    ],
)
def test_numbers_out_of_range_are_refused(change, named):
    """A number that would break uniqueness is named, in one line."""
    with pytest.raises(ConfigError) as caught:
        make(1, **change)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_files_are_read_one_prompt_a_line(tmp_path):
    """Blank lines go, spaces inside stay, and both line endings are understood."""
    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffEins zwei\n\n  drei \r\n\t\nvier 世界\x85x".encode())
    assert prompts.read_lines(file) == ["Eins zwei", "  drei ", "vier 世界\x85x"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n  \n", "is empty"),
        (b"fine\n\xff\xfe", "is not UTF-8 text: byte 5"),
        (b"a\0b", "is not text"),
        (None, "No such file"),
    ],
    ids=["empty", "blank", "latin", "binary", "missing"],
)
def test_bad_text_files_are_refused(tmp_path, content, reason):
    """The error names the file and what is wrong with it."""
    file = tmp_path / "prompts.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        prompts.read_lines(file)
    assert str(file) in str(caught.value)
    assert reason in str(caught.value)


def test_a_directory_is_no_prompt_file(tmp_path):
    """A directory is refused like any unreadable file."""
    with pytest.raises(ConfigError, match="Is a directory"):
        prompts.read_lines(tmp_path)


def test_take_goes_round():
    """After the last prompt comes the first again, from any start."""
    assert prompts.take(["a", "b", "c"], 4) == ["a", "b", "c", "a"]
    assert prompts.take(["a", "b", "c"], 3, start=5) == ["c", "a", "b"]
    assert prompts.take(["a"], 0) == []
    with pytest.raises(ConfigError):
        prompts.take([], 1)


def test_token_hash_sees_order_borders_and_ids():
    """Moving a border, an order or an id changes the hash."""
    lists = [[[1, 2], [3]], [[1], [2, 3]], [[3], [1, 2]], [[1, 2], [4]], [[1, 2, 3]]]
    assert len({prompts.token_sha256(each) for each in lists}) == len(lists)
    assert prompts.token_sha256([(1, 2), (3,)]) == prompts.token_sha256(lists[0])


def test_recipe_hash_sees_values_and_not_their_order():
    """Key order and set order do not matter; any value does."""
    one = {"source": "synthetic", "seed": 1, "reserved": frozenset({3, 1, 2})}
    two = {"reserved": [1, 2, 3], "seed": 1, "source": "synthetic"}
    assert prompts.recipe_sha256(one) == prompts.recipe_sha256(two)
    assert prompts.recipe_sha256(one) != prompts.recipe_sha256({**one, "seed": 2})
    with pytest.raises(TypeError, match="not object"):
        prompts.recipe_sha256({"x": object()})
