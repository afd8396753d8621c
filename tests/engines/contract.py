"""What every engine must do, whatever its library: a suite that each of them runs.

A folder's `test_contract.py` names it with a fixture `begin`, which loads the tiny
model into an engine that takes four requests at once.
"""

import hashlib
import inspect
import json

import pytest

from pytest_lem.engines import Engine, TellsLikelihood
from pytest_lem.engines.chatting import chatted
from pytest_lem.errors import ConfigError, LemError

LENGTHS = (5, 40, 17, 3, 64)
LIMITS = (3, 12, 1, 7, 12)


def tokens(got):
    """The token ids of a pass, request by request."""
    return [one.output_ids for one in got["completions"]]


class EngineContract:
    """An engine of this house, tried with forced work, stamps, and bad requests.

    Where sums depend on what is summed at once, as in half precision on a GPU, tokens
    are not `exact`: those of a batch may be others than those of a prompt alone, and
    the logarithms of probabilities are less `near` to those in full precision.
    """

    exact = True
    near = 1e-4

    @pytest.fixture
    def begun(self, begin):
        """An engine that need not be another test's: it, and what its load told."""
        return begin()

    def test_it_is_an_engine(self, begun):
        """It has every method of the protocol, with the same parameters."""
        engine, _ = begun
        for name, call in inspect.getmembers(Engine, inspect.isfunction):
            if not name.startswith("_"):
                own = inspect.signature(getattr(type(engine), name))
                assert list(own.parameters) == list(inspect.signature(call).parameters)

    def test_a_load_tells_plain_facts(self, begun):
        """JSON alone; what has no number is null and never left out."""
        engine, report = begun
        told = [report.effective, report.model, report.memory, report.flags]
        assert json.loads(json.dumps(told)) == told
        assert report.duration_s > 0
        assert report.devices
        assert {*report.memory} >= {"model_mb", "load_peak_mb"}
        model = report.model
        assert model["architecture"] == "LlamaForCausalLM"
        assert model["reserved_ids"] == [256, 257, 258]
        assert report.effective["prefix_caching"] in {"off", "emptied"}
        assert engine.version()
        assert all(engine.packages().values())

    def test_a_forced_length_is_kept_in_the_order_of_prompts(self, begun, ask, rows):
        """Whatever the prompts' lengths, and whatever runs at once."""
        engine, _ = begun
        prompts = rows(*LENGTHS)
        alone = [tokens(ask(engine, [one], batch_size=1))[0] for one in prompts]
        got = ask(engine, prompts, batch_size=3)
        assert tokens(got) == alone or not self.exact
        assert [one.input_tokens for one in got["completions"]] == list(LENGTHS)
        assert {one.output_tokens for one in got["completions"]} == {12}
        assert {one.finish_reason for one in got["completions"]} == {"length"}
        assert sum(got["batches"]) == len(LENGTHS)
        assert got["padding_tokens"] >= 0
        plain = [got["native"], got["memory"]]
        assert json.loads(json.dumps(plain)) == plain

    @pytest.mark.parametrize(("size", "stamps"), [(3, False), (3, True), (1, True)])
    def test_each_request_has_its_own_length(self, begun, ask, rows, size, stamps):
        """Its tokens are the first ones of a longer answer, whatever runs beside it."""
        engine, _ = begun
        prompts = rows(*LENGTHS)
        whole = tokens(ask(engine, prompts))
        got = ask(engine, prompts, batch_size=size, stamps=stamps, output_limits=LIMITS)
        first = [ids[:limit] for ids, limit in zip(whole, LIMITS, strict=True)]
        assert tokens(got) == first or not self.exact
        done = got["completions"]
        assert [one.output_tokens for one in done] == list(LIMITS)
        assert [len(one.token_ns) for one in done] == [
            stamps * limit for limit in LIMITS
        ]
        assert {one.finish_reason for one in done} == {"length"}

    def test_limits_of_free_lengths_are_each_requests_own(self, begun, ask, rows):
        """An end token may come before, and nothing after."""
        limits = (4, 20, 6, 9, 20)
        got = ask(
            begun[0],
            rows(*LENGTHS),
            count=20,
            min_output_tokens=2,
            output_limits=limits,
        )
        for one, limit in zip(got["completions"], limits, strict=True):
            assert 2 <= one.output_tokens <= limit
            assert one.output_tokens == limit or one.finish_reason == "stop"

    def test_a_text_can_be_a_users_turn(self, begun):
        """By a template that is given; the tiny model has none of its own."""
        engine, _ = begun
        template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        template += "{% if add_generation_prompt %}<assistant>{% endif %}"
        ids, told = chatted(engine, ["Was?", "Wo?"], template)
        said = ["<user>Was?<assistant>", "<user>Wo?<assistant>"]
        assert engine.detokenize(ids) == said
        assert told == hashlib.sha256(template.encode()).hexdigest()
        with pytest.raises(ConfigError, match="tokenizer has no chat template: name a"):
            chatted(engine, ["Was?"], None)
        with pytest.raises(ConfigError, match=r"cannot be used: .*Syntax"):
            chatted(engine, ["Was?"], "{% for %}")

    def test_a_length_that_is_free_has_its_bounds(self, begun, ask, rows):
        """Each request has at least the minimum and at most the limit."""
        got = ask(begun[0], rows(*LENGTHS), count=20, min_output_tokens=4)
        for one in got["completions"]:
            assert 4 <= one.output_tokens <= 20
            assert one.output_tokens == 20 or one.finish_reason == "stop"

    @pytest.mark.parametrize("size", [1, 3])
    def test_each_token_has_a_stamp_where_that_is_asked(self, begun, ask, rows, size):
        """In order, within its request; stamps change no token."""
        engine, _ = begun
        prompts = rows(5, 40, 17)
        bare = ask(engine, prompts)
        assert not any(one.token_ns for one in bare["completions"])
        got = ask(engine, prompts, batch_size=size, stamps=True)
        assert tokens(got) == tokens(bare) or not self.exact
        for one in got["completions"]:
            assert len(one.token_ns) == one.output_tokens
            times = [one.sent_ns, *one.token_ns, one.ended_ns]
            assert times == sorted(times)

    def test_what_is_drawn_follows_the_seed(self, begun, ask, rows):
        """Where sampling was asked for; greedy decoding has no chance."""
        engine, _ = begun

        def drawn(seed, **decoder):
            return tokens(ask(engine, rows(9), seed=seed, decoder=decoder))

        assert drawn(1) == drawn(2)
        wild = {"do_sample": True, "temperature": 2.0}
        assert drawn(1, **wild) == drawn(1, **wild) != drawn(2, **wild)

    @pytest.mark.parametrize(
        ("prompt", "changes", "told"),
        [
            ([], {}, "prompt 0 has no tokens"),
            ([1] * 4090, {"count": 9}, "that is 4099"),
            ([1], {"min_output_tokens": 13}, "the minimum no more than the limit"),
            ([1], {"batch_size": 0}, "sizes are at least 1"),
            ([1], {"output_limits": (3, 4)}, "1 prompts have 2 output_limits"),
            ([1], {"output_limits": (13,)}, "may have 13 tokens, which is not between"),
            ([1] * 4090, {"output_limits": (7,)}, "4090 tokens, with 7 to generate"),
            ([1], {"decoder": {"top_z": 1}}, r"decoder\.top_z"),
        ],
    )
    def test_what_cannot_be_asked_is_one_line(self, begun, ask, prompt, changes, told):
        """Before the window opens; the engine is good for the next pass."""
        engine, _ = begun
        with pytest.raises(ConfigError, match=told) as error:
            ask(engine, [prompt], **changes)
        assert "\n" not in error.value.message
        assert len(ask(engine, [[1, 2, 3]])["completions"]) == 1

    def test_it_tells_how_likely_tokens_are(self, begun, ask, rows, directly):
        """As the library itself does of the same weights; passes are none the wiser."""
        engine, _ = begun
        prompts = rows(*LENGTHS, 300)
        before = tokens(ask(engine, prompts[:2]))
        told = engine.log_probabilities(prompts)
        assert isinstance(engine, TellsLikelihood)
        for row, logs in zip(prompts, told, strict=True):
            assert logs == pytest.approx(directly(row), abs=self.near)
        assert tokens(ask(engine, prompts[:2])) == before or not self.exact

    def test_texts_become_tokens_and_back(self, begun):
        """By the model's own tokenizer, without the special tokens."""
        engine, _ = begun
        texts = ["hello there", "a"]
        assert engine.detokenize(engine.tokenize(texts)) == texts

    def test_a_model_that_is_not_there_is_one_line(self, begin):
        """A failure of the load, by one of the kinds that a record knows."""
        with pytest.raises(LemError, match="/nowhere") as error:
            begin(model="/nowhere")
        assert "\n" not in error.value.message

    def test_an_engine_is_unloaded_and_loads_again(self, begin, ask, rows):
        """To unload twice is no error; afterwards the tokens are the same."""
        engine, _ = begin()
        before = tokens(ask(engine, rows(9)))
        engine.unload()
        engine.unload()
        again, _ = begin()
        assert tokens(ask(again, rows(9))) == before
