"""A cycle made of windows that a loop opens itself, with a real worker."""

import pytest

from pytest_lem.engines import GenerateOptions
from pytest_lem.errors import ConfigError, MeterError, NullMetricError
from pytest_lem.measure.custom import CustomCycle
from pytest_lem.meters.fake import FakeMeter

ASKED = GenerateOptions(output_tokens=4, min_output_tokens=4, batch_size=2)


class Loop:
    """A custom cycle, the engine it measures, and what was kept of it."""

    def __init__(self, lab, experiment, index=0, identify=None):
        self.kept, self.work = [], []
        self.bench = lambda: lab.bench(experiment, index)
        self.cycle = CustomCycle(
            lab,
            experiment,
            index,
            identify=identify or self.work.append,
            keep=self.kept.append,
        )

    def generate(self, count=2, options=ASKED):
        bench = self.bench()
        prompts = [[k, 1, 2] for k in range(count)]
        made = bench.client.generate(prompts, options)
        if bench.heard is not None:
            bench.heard.append((prompts, made))
        return made.completions

    def measured(self, count=2, options=ASKED):
        with self.cycle.window() as window:
            window.count(self.generate(count, options))
        return window

    def end(self, error=None):
        self.cycle.finish(error)
        (cycle,) = self.kept
        return cycle


@pytest.fixture
def loop(make_lab, experiment):
    """A custom cycle at constant 50 W whose requests take 0.1 s a batch."""
    lab = make_lab(FakeMeter(50.0))
    return Loop(lab, experiment(script={"prefill_s": 0.1}))


def test_windows_become_the_windows_of_the_cycle(loop):
    """Each with its own span, tokens and energy; sums close as in any cycle."""
    first, second = loop.measured(2), loop.measured(4)
    cycle = loop.end()
    assert cycle.status == "complete"
    assert [(w.tokens.input, w.tokens.output) for w in cycle.windows] == [
        (6, 8),
        (12, 16),
    ]
    assert [w.batches for w in cycle.windows] == [[2], [2, 2]]
    assert [w.start_s for w in cycle.windows] == [
        first.start_ns / 1e9,
        second.start_ns / 1e9,
    ]
    for window, own in zip(cycle.windows, (first, second), strict=True):
        assert window.duration_s == pytest.approx((own.end_ns - own.start_ns) / 1e9)
        assert window.energy.gross_j == pytest.approx(50 * window.duration_s, rel=1e-3)
        assert own.energy_j == pytest.approx(window.energy.gross_j)
        assert own.output_tokens == window.tokens.output
    total_j = sum(w.energy.gross_j for w in cycle.windows)
    per_token_j = cycle.metrics["energy_per_output_token_j"]
    assert per_token_j * 24 == pytest.approx(total_j)
    assert loop.work == [[[(3, 4)] * 2, [(3, 4)] * 4]]


def test_requests_of_a_loop_are_held_against_their_limits(make_lab, experiment):
    """Those that were counted, over all windows."""
    script = {"latency_script_s": [0.01, 0.3]}
    one = experiment(script=script, slo={"e2e_ms": 100})
    loop = Loop(make_lab(FakeMeter(50.0)), one)
    loop.measured(2), loop.measured(2)
    cycle = loop.end()
    assert (cycle.goodput["good"], cycle.goodput["requests"]) == (2, 4)
    assert cycle.metrics["attainment"] == 0.5
    assert cycle.goodput["steady"]["reason"] == "few_requests"


def test_the_record_says_that_nothing_was_warmed_up(loop):
    """No warm-up, no recipe of the workload's: the loop is the test's own."""
    loop.measured()
    cycle = loop.end()
    assert cycle.warmup is None
    assert cycle.nulls["warmup"] == "custom_loop"
    assert cycle.nulls["warmup_duration_s"] == "no_warmup"
    assert {"custom_loop", "short_cycle"} <= set(cycle.flags)
    assert cycle.prompts["source"] == "custom_loop"


def test_the_recipe_stands_for_the_prompts_that_were_counted(make_lab, experiment):
    """Equal hashes mean equal prompts, in equal windows."""
    lab = make_lab()
    digests = []
    for index, count in enumerate((1, 1, 2)):
        loop = Loop(lab, experiment(), index)
        loop.measured(count)
        digests.append(loop.end().prompts["recipe_sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_engine_and_idle_power_come_before_the_first_window(make_lab, experiment):
    """Loading is in no window, and idle power is read with the model loaded."""
    lab = make_lab(FakeMeter(50.0), idle="auto", idle_s=0.2)
    loop = Loop(lab, experiment(script={"load_s": 0.1, "prefill_s": 0.5}))
    loop.measured()
    loop.measured()
    cycle = loop.end()
    assert lab.progress.phases == [
        "idle no_context",
        "start fake",
        "idle context",
        "load synthetic:llama-tiny",
        "idle",
        "window 1",
        "window 2",
        "idle",
        "settle",
        "clear",
    ]
    assert cycle.idle.power_w == pytest.approx(50.0, rel=1e-3)
    assert cycle.windows[0].start_s > loop.bench().load_end_s
    assert cycle.windows[0].energy.net_j == pytest.approx(0.0, abs=0.1)


def test_only_what_was_generated_inside_a_window_can_be_counted(loop):
    """Not what was generated before it, in another window, or counted already."""
    with loop.cycle.window() as first:
        inside = loop.generate()
        first.count(inside[:1])
        with pytest.raises(ConfigError, match="counted twice"):
            first.count(inside[:1])
    outside = loop.generate()
    with loop.cycle.window() as second:
        second.count(loop.generate())
        for others in (inside, outside):
            with pytest.raises(ConfigError, match="generated inside this window"):
                second.count(others)
    first.count(inside[1:])
    assert [w.requests for w in loop.end().windows] == [2, 2]


def test_a_window_has_no_numbers_before_it_has_ended(loop):
    """Asked too early it says so; without a count there are no tokens."""
    with loop.cycle.window() as window:
        for name in ("energy_j", "output_tokens"):
            with pytest.raises(RuntimeError, match="still open"):
                getattr(window, name)
        made = loop.generate()
    with pytest.raises(NullMetricError, match="nothing_counted"):
        _ = window.output_tokens
    window.count(made)
    assert window.output_tokens == 8


def test_without_a_meter_energy_is_null_with_a_reason(make_lab, experiment):
    """The window raises, and the record has the same reason."""
    loop = Loop(make_lab(), experiment())
    window = loop.measured()
    with pytest.raises(NullMetricError, match="no_meter"):
        _ = window.energy_j
    cycle = loop.end()
    assert cycle.windows[0].energy.gross_j is None
    assert "no_meter" in cycle.nulls["energy_per_output_token_j"]


def test_windows_cannot_be_nested(loop):
    """Energy of the inner one would count twice."""
    with (
        pytest.raises(ConfigError, match="cannot be nested"),
        loop.cycle.window(),
        loop.cycle.window(),
    ):
        pass


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ValueError("odd"), "failed", "error"),
        (ConfigError("odd"), "failed", "config"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
    ],
)
def test_a_body_that_breaks_off_leaves_a_broken_cycle(loop, error, status, kind):
    """It keeps the windows that had ended; the engine is thrown away."""
    loop.measured()
    before = loop.bench()
    cycle = loop.end(error)
    assert (cycle.status, cycle.error.kind) == (status, kind)
    assert len(cycle.windows) == 1
    assert loop.bench() is not before


def test_an_assertion_after_the_windows_judges_and_does_not_break(loop):
    """The cycle was measured, whatever the test thinks of it."""
    loop.measured()
    assert loop.end(AssertionError("too much")).status == "complete"


def test_an_assertion_inside_a_window_breaks_the_cycle(loop):
    """The window is not whole."""

    def body():
        with loop.cycle.window() as window:
            window.count(loop.generate())
            raise AssertionError("no")

    with pytest.raises(AssertionError) as caught:
        body()
    cycle = loop.end(caught.value)
    assert (cycle.status, cycle.windows) == ("failed", [])


def test_an_exception_caught_around_a_window_breaks_the_cycle(loop):
    """A test that goes on after it is told that its cycle cannot count."""
    loop.measured()
    with pytest.raises(ValueError, match="odd"), loop.cycle.window():
        raise ValueError("odd")
    with pytest.raises(ConfigError, match="an exception left a window"):
        loop.end()
    (cycle,) = loop.kept
    assert (cycle.status, cycle.error.kind) == ("failed", "config")


def test_a_window_that_counted_nothing_fails_the_cycle(loop):
    """No zero stands for tokens that were never told."""
    loop.measured()
    with loop.cycle.window():
        loop.generate()
    with pytest.raises(ConfigError, match="window 1 counted nothing"):
        loop.end()
    assert loop.kept[0].status == "failed"


def test_work_that_is_refused_fails_the_cycle(make_lab, experiment):
    """The cycle is kept, with the refusal as its error."""

    def refuse(_work):
        raise ConfigError("other work")

    loop = Loop(make_lab(), experiment(), identify=refuse)
    loop.measured()
    with pytest.raises(ConfigError, match="other work"):
        loop.end()
    assert loop.kept[0].error.message == "other work"


def test_strict_needs_energy_here_as_well(make_lab, experiment, monkeypatch):
    """A meter that was there and said nothing is an error under --lem-strict."""
    meter = FakeMeter(50.0)
    monkeypatch.setattr(meter, "poll", lambda: ([], [], 0.02))
    loop = Loop(make_lab(meter, strict=True), experiment())
    loop.measured()
    with pytest.raises(MeterError, match="gave no energy"):
        loop.end()
    assert loop.kept[0].error.kind == "meter"
