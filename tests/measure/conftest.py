"""Laboratories with real workers, scripted meters, and a clock cranked by hand."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytest_lem.engines import Capabilities, Completion, Generation
from pytest_lem.engines.registry import EngineEntry, Registry
from pytest_lem.measure.conditions import Conditions
from pytest_lem.measure.cycle import run_cycle
from pytest_lem.measure.idle import IdlePolicy
from pytest_lem.measure.laboratory import Laboratory
from pytest_lem.measure.window import Pass
from pytest_lem.meters import Telemetry
from pytest_lem.meters.fake import FakeMeter, HandCranked
from pytest_lem.meters.metering import Metering
from pytest_lem.spec.effort import Effort, Warmup
from pytest_lem.spec.engine import EngineSpec
from pytest_lem.spec.experiment import Experiment
from pytest_lem.spec.workload import Workload


class Heard:
    """Progress that remembers the phases; `act` is called with each."""

    def __init__(self):
        self.phases = []
        self.act = lambda name: None

    def phase(self, name, estimate_s=None):
        self.phases.append(name)
        self.act(name)

    def tick(self):
        pass

    def clear(self):
        self.phases.append("clear")


@pytest.fixture
def make_lab(tmp_path):
    """Make laboratories; each is closed at the end."""
    labs = []

    def make(
        *meters,
        idle="off",
        idle_s=0.2,
        policy=None,
        engine=None,
        gpus=(),
        **conditions,
    ):
        own = Capabilities(shares_context=True)
        fake = EngineEntry(name="fake", target=FAKE, capabilities=own)
        entries = [engine or fake]
        lab = Laboratory(
            metering=Metering(meters),
            conditions=Conditions(
                idle=IdlePolicy(
                    mode=idle, seconds=idle_s, settle_s=0.0, **(policy or {})
                ),
                gpus=gpus,
                **conditions,
            ),
            registry=Registry(entries),
            log_directory=tmp_path / "logs",
            progress=Heard(),
        )
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.close()


FAKE = "pytest_lem.engines.fake:FakeEngine"
OFF = Warmup.parse("off")


@pytest.fixture
def experiment():
    """An experiment on the fake engine: 3 windows of 10 ms, no warm-up."""

    def make(*, script=None, effort=None, **workload):
        values = {"windows": 3, "warmup": OFF, "timeout": 30.0, **(effort or {})}
        if isinstance(values["warmup"], str):
            values["warmup"] = Warmup.parse(values["warmup"])
        script = {"token_s": 0.0, **({} if script is None else script)}
        return Experiment(
            id="t.py::test",
            spec=EngineSpec(backend="fake", engine=script),
            workload=Workload(**{"output_tokens": 4, "input_tokens": 8, **workload}),
            effort=Effort(**values),
        )

    return make


@pytest.fixture
def measure():
    """Run a cycle; what it hands over is what it returns."""

    def measure(lab, experiment, index=0):
        kept = []
        cycle = run_cycle(lab, experiment, index, kept.append)
        assert kept == [cycle]
        return cycle

    return measure


@pytest.fixture
def odd_engine(tmp_path, monkeypatch):
    """Write an engine around the fake one, that workers can import by its entry."""
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    def write(body):
        head = "from pytest_lem.engines.fake import FakeEngine\n"
        (tmp_path / "odd_engine.py").write_text(head + body)
        return EngineEntry(name="fake", target="odd_engine:Odd")

    return write


class Warm(FakeMeter):
    """The fake meter, with a GPU that stays at one temperature."""

    def __init__(self, heat_c):
        super().__init__(50.0)
        self.heat_c = heat_c

    def poll(self):
        readings, _, wait_s = super().poll()
        told = Telemetry(
            device="GPU-a", time_s=self._clock_s(), temperature_c=self.heat_c
        )
        return readings, [told], wait_s


@pytest.fixture
def warm():
    """Make meters that tell the temperature of GPU-a."""
    return Warm


@pytest.fixture
def cranked(monkeypatch):
    """A meter and the only clock there is; `wait` lets time pass at `power_w`."""
    meter = HandCranked(start_s=100.0)
    clock = SimpleNamespace(power_w=100.0, meter=meter)
    clock.wait = lambda seconds: meter.jump(clock.power_w * seconds, seconds)
    time = SimpleNamespace(monotonic=lambda: meter.now_s)
    monkeypatch.setattr("pytest_lem.measure.idle.time", time)
    with Metering([meter]) as metering:
        clock.metering = metering
        yield clock


@pytest.fixture
def make_pass():
    """A pass between two instants, whose requests fill a share of it."""

    def make(start_s, end_s, *, share=1.0, requests=2, output=10, **changed):
        sent_ns = round(start_s * 1e9)
        ended_ns = sent_ns + round((end_s - start_s) * share * 1e9)
        one = Completion(
            input_tokens=30,
            output_ids=[7] * output,
            finish_reason="length",
            sent_ns=sent_ns,
            ended_ns=ended_ns,
            token_ns=[],
        )
        generation = Generation(
            start_ns=sent_ns,
            end_ns=round(end_s * 1e9),
            completions=[one] * requests,
            batches=[requests],
            padding_tokens=0,
            memory={"inference_peak_mb": None},
            native={},
        )
        run = Pass(kind="energy", index=0, token_sha256="f00", generation=generation)
        return replace(run, **changed)

    return make
