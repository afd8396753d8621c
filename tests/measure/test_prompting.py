"""The prompts of a pass: synthetic, or texts in order, as the engine's own ids."""

import hashlib
import json

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.measure.prompting import prompts_for, recipe
from pytest_lem.spec.workload import Workload


@pytest.fixture
def bench(make_lab, experiment):
    """A loaded fake engine, whose tokens are bytes."""
    one = experiment()
    return make_lab().bench(one, 0)


def texts(workload, bench, window, count):
    found = prompts_for(workload, bench, 0, window, count)
    return [bytes(ids).decode() for ids in found.prompts]


def test_synthetic_prompts_have_exactly_the_length_asked(bench):
    """And nothing is tokenised for them."""
    found = prompts_for(Workload(input_tokens=17), bench, 0, 0, 5)
    assert [len(ids) for ids in found.prompts] == [17] * 5
    assert found.tokenise_s is None
    assert len({tuple(ids) for ids in found.prompts}) == 5


def test_drawn_lengths_are_exact_and_those_of_every_window(bench):
    """Windows do equal work with other tokens; more requests go on where fewer end."""
    workload = Workload(input_lengths="uniform:low=3,high=30")
    one, two = (prompts_for(workload, bench, 0, w, 9).prompts for w in (-1, 3))
    lengths = [len(ids) for ids in one]
    assert lengths == [len(ids) for ids in two]
    assert len(set(lengths)) > 3
    assert not {tuple(ids) for ids in one} & {tuple(ids) for ids in two}
    more = prompts_for(workload, bench, 0, 0, 20).prompts
    assert [len(ids) for ids in more][:9] == lengths


def test_lengths_that_were_drawn_are_told_with_their_hash():
    """Of one window's requests; what is asked for decides no prompt."""
    plain = recipe(Workload(requests=9))
    assert "lengths" not in plain
    told = recipe(Workload(requests=9, output_lengths="uniform:low=3,high=30"))
    assert told["recipe_sha256"] == plain["recipe_sha256"]
    assert told["output_lengths"] == "uniform:low=3,high=30"
    found = told["lengths"]["output"]
    assert found["n"] == 9
    assert 3 <= found["min"] < found["mean"] < found["max"] <= 30
    other = recipe(Workload(requests=9, output_lengths="uniform:low=3,high=31"))
    assert other["lengths"]["output"]["sha256"] != found["sha256"]


def test_texts_go_on_from_window_to_window_and_begin_again(bench):
    """In their order; the warm-up begins with the first."""
    workload = Workload(prompts=["a", "bb", "ccc"])
    assert texts(workload, bench, 0, 2) == ["a", "bb"]
    assert texts(workload, bench, 1, 2) == ["ccc", "a"]
    assert texts(workload, bench, -1, 2) == ["a", "bb"]
    assert texts(workload, bench, -2, 2) == ["a", "bb"]


def test_long_texts_are_cut_to_the_input_length(bench):
    """A limit, not a promise."""
    workload = Workload(prompts=["abcdef", "xy"], input_tokens=4)
    assert texts(workload, bench, 0, 2) == ["abcd", "xy"]
    assert prompts_for(workload, bench, 0, 0, 2).cut == 1
    assert prompts_for(Workload(), bench, 0, 0, 2).cut is None


def test_the_start_can_be_cut_off_instead_or_nothing_may_be(bench):
    """Where a question stands at the end, or where a cut would be another question."""
    workload = Workload(
        prompts=["xy", "abcdef"],
        input_tokens=4,
        prompt_options={"truncation": "start"},
    )
    assert texts(workload, bench, 0, 2) == ["xy", "cdef"]
    strict = workload.model_dump() | {"prompt_options": {"truncation": "refuse"}}
    with pytest.raises(
        ConfigError, match="prompt 2 has 6 tokens, above input_tokens=4"
    ):
        texts(Workload(**strict), bench, 0, 2)


def test_blank_texts_are_left_out(bench):
    """There is nothing to ask."""
    assert texts(Workload(prompts=["a", " ", "b"]), bench, 0, 2) == ["a", "b"]


def test_a_file_is_read_line_by_line(bench, tmp_path):
    """One prompt a line."""
    path = tmp_path / "p.txt"
    path.write_text("one\n\ntwo\n", encoding="utf-8")
    assert texts(Workload(prompts=str(path)), bench, 0, 3) == ["one", "two", "one"]


ODD = """
class Tokenizer:
    chat_template = "own"
    def get_chat_template(self):
        return self.chat_template
    def apply_chat_template(self, turns, *, chat_template, **_):
        return list(f"{chat_template}({turns[0]['content']})".encode())

class Odd(FakeEngine):
    def chat_tokenizer(self):
        return Tokenizer()
"""


def test_texts_go_through_the_template_asked_for(
    make_lab, odd_engine, experiment, measure, tmp_path
):
    """The engine's own or a file's, whose hash is in the record; a prompt is whole."""
    path = tmp_path / "mine.jinja"
    path.write_text("mine")
    lab = make_lab(engine=odd_engine(ODD))
    for template, word in ((True, "own"), (str(path), "mine")):
        options = {"chat_template": template, "truncation": "refuse"}
        one = experiment(prompts=["x"], prompt_options=options)
        cycle = measure(lab, one)
        assert cycle.windows[0].tokens.input == len(f"{word}(x)")
        told = cycle.prompts["chat_template_sha256"]
        assert told == hashlib.sha256(word.encode()).hexdigest()
    lab = make_lab()
    with pytest.raises(ConfigError, match="the engine has no chat templates"):
        measure(lab, one)


def test_texts_are_tokenised_once(bench):
    """The time is told with each pass that uses them; another cut is another list."""
    workload = Workload(prompts=["abc"])
    first = prompts_for(workload, bench, 0, 0, 1)
    second = prompts_for(workload, bench, 0, 1, 1)
    assert first.tokenise_s == second.tokenise_s > 0
    cut = prompts_for(Workload(prompts=["abc"], input_tokens=1), bench, 0, 0, 1)
    assert [len(ids) for ids in cut.prompts] == [1]


def test_a_recipe_says_how_prompts_are_made_and_never_what_they_say(tmp_path):
    """Source, lengths, counts, seed and a hash of all that; plain JSON."""
    how = recipe(Workload(batch_size=4, seed=9))
    assert len(how.pop("recipe_sha256")) == 64
    assert how == {
        "source": "synthetic",
        "input_tokens": 128,
        "requests": 4,
        "seed": 9,
        "count": None,
    }
    told = recipe(Workload(prompts=["my secret", "b"]))
    assert (told["source"], told["count"], told["input_tokens"]) == ("text", 2, None)
    assert (told["format"], told["column"], told["order"]) == ("list", None, "given")
    assert "secret" not in json.dumps(told)


def test_recipes_differ_as_their_prompts_do(tmp_path):
    """A file counts by its content."""
    path = tmp_path / "p.txt"
    path.write_text("a\nb\n")
    listed = recipe(Workload(prompts=["a", "b"]))["recipe_sha256"]
    assert recipe(Workload(prompts=str(path)))["recipe_sha256"] == listed
    path.write_text("a\nc\n")
    others = [
        recipe(Workload(prompts=str(path))),
        recipe(Workload(prompts=["b", "a"])),
        recipe(Workload(prompts=["a", "b"], input_tokens=1)),
        recipe(Workload(prompts=["a", "b"], requests=2)),
        recipe(Workload(prompts=["a", "b"], prompt_options={"chat_template": True})),
        recipe(Workload(prompts=["a", "b"], prompt_options={"count": 1})),
        recipe(Workload()),
        recipe(Workload(seed=1)),
        recipe(Workload(input_lengths="fixed:128")),
        recipe(Workload(shared_prefix_tokens=9)),
    ]
    hashes = {listed, *(one["recipe_sha256"] for one in others)}
    assert len(hashes) == 11
