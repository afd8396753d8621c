"""The options, each with its ini twin: one table, from which pytest learns them."""

from pathlib import Path
from typing import Any

import pytest

from pytest_lem.front.effort_options import EFFORT_OPTIONS
from pytest_lem.front.gate_options import GATE_OPTIONS
from pytest_lem.front.ini_options import INI_OPTIONS
from pytest_lem.front.plan_options import PLAN_OPTIONS
from pytest_lem.front.schedule_options import SCHEDULE_OPTIONS
from pytest_lem.front.statistics_options import STATISTICS_OPTIONS
from pytest_lem.front.sweep_options import SWEEP_OPTIONS
from pytest_lem.front.values import (
    Option,
    arguments,
    assignment,
    image,
    interpreter,
    label,
    names,
    number,
    one_of,
    search,
    thermal,
    truth,
)

OPTIONS: tuple[Option, ...] = (
    Option(
        name="backend",
        parse=names,
        default=("transformers",),
        metavar="NAME[,NAME]",
        help="inference engines to measure (default: transformers)",
    ),
    Option(
        name="model",
        parse=str,
        default=None,
        metavar="MODEL",
        help="hub id, local path, or synthetic:NAME; overrides markers "
        "(default: synthetic:llama-tiny)",
    ),
    Option(
        name="preset",
        parse=names,
        default=None,
        metavar="NAME[,NAME]",
        help="named settings, such as creative or vllm-throughput, which ini, markers "
        "and command line override (default: none)",
    ),
    Option(
        name="gpus",
        parse=names,
        default=None,
        metavar="GPU[,GPU]",
        help="GPUs of the run: indices into the visible ones, or UUIDs "
        "(default: the first)",
    ),
    Option(
        name="set",
        parse=assignment,
        default=(),
        metavar="KEY=VALUE",
        many=True,
        help="set a marker key, such as precision=bfloat16 or transformers.device=cpu; "
        "`lem params` lists them; repeatable",
    ),
    *EFFORT_OPTIONS,
    *SCHEDULE_OPTIONS,
    Option(
        name="seed",
        parse=number(int, 0),
        default=42,
        metavar="N",
        help="seed of order, prompts and sampling (default: 42)",
    ),
    Option(
        name="meter",
        parse=names,
        default=("auto",),
        metavar="NAME[,NAME]",
        help="auto, nvml, rapl, zeus, codecarbon, replay:FILE, fake[:WATTS] or none "
        "(default: auto)",
    ),
    Option(
        name="idle",
        parse=one_of("off", "auto", "required"),
        default="auto",
        metavar="MODE",
        help="idle power: off, auto, or required (default: auto)",
    ),
    Option(
        name="phases",
        parse=truth,
        default=False,
        help="stamp each token in the energy windows too, so that prefill and decode "
        "are told apart at their batch size (default: false)",
    ),
    Option(
        name="search",
        parse=search,
        default=None,
        metavar="max-goodput[:TERMS]",
        help="before the cycles of each experiment find the highest arrivals.rate_rps "
        "at which so large a share of its requests meets slo, by trials that each have "
        "a record; the cycles run at it; of max-goodput alone the terms are "
        "share=0.9,width=0.1,trials=20,repeats=2 (default: no search)",
    ),
    Option(
        name="thermal",
        parse=thermal,
        default=None,
        metavar="C|stable[,TIMEOUT]",
        help="before each cycle wait until all GPUs of the run are at or below so many "
        "degrees, or change by less than 1 C within 10 s, for at most TIMEOUT seconds, "
        "or 600 (default: do not wait)",
    ),
    Option(
        name="throttle",
        parse=one_of("warn", "fail", "rerun"),
        default="warn",
        metavar="MODE",
        help="what a window does in which heat or the power brake slowed a GPU down: "
        "warn (a flag), fail the cycle, or rerun it (default: warn)",
    ),
    Option(
        name="require-exclusive",
        parse=truth,
        default=False,
        help="other processes on a GPU of the run are an error, before the run and in "
        "each cycle, instead of a flag (default: false)",
    ),
    Option(
        name="flops",
        parse=one_of("auto", "measured", "architecture", "parameters", "off"),
        default="auto",
        metavar="METHOD",
        help="how operations are counted: measured (one more pass per cycle, by the "
        "engine's own counter), architecture, parameters, auto or off; what fails "
        "falls to the next of them (default: auto, which is architecture)",
    ),
    Option(
        name="torch-profile",
        parse=Path,
        default=None,
        metavar="DIR",
        help="write a torch.profiler trace of one more pass of each experiment to DIR "
        "(default: none)",
    ),
    Option(
        name="save-outputs",
        parse=Path,
        default=None,
        metavar="DIR",
        help="write the texts that the windows of lem() made to DIR, a file for each "
        "experiment and cycle (default: not written)",
    ),
    Option(
        name="save-stamps",
        parse=Path,
        default=None,
        metavar="DIR",
        help="write when each request was sent and ended and each token came to "
        "DIR, a Parquet file for each cycle; `lem export` needs them "
        "(default: not written)",
    ),
    Option(
        name="save-raw",
        parse=Path,
        default=None,
        metavar="DIR",
        help="write what each process of an engine did to DIR, a Parquet file for each "
        "and cycle; `lem aggregate` makes a report of them (default: not written)",
    ),
    Option(
        name="timeout",
        parse=number(float, 0, above=True),
        default=600.0,
        metavar="S",
        help="limit of each step of a worker: load, generate (default: 600)",
    ),
    Option(
        name="start-timeout",
        parse=number(float, 0, above=True),
        default=120.0,
        metavar="S",
        help="limit of a worker's start: its Python, the import of its engine, CUDA "
        "(default: 120)",
    ),
    Option(
        name="session-timeout",
        parse=number(float, 0, above=True),
        default=None,
        metavar="S",
        help="limit of the session, from the end of collection: what runs then fails, "
        "and nothing more is begun (default: none)",
    ),
    Option(
        name="python",
        parse=interpreter,
        default=(),
        metavar="BACKEND=PATH",
        many=True,
        help="the Python, of another environment, that runs this backend's engine; it "
        "needs pytest-lem without its dependencies beside the engine; repeatable "
        "(default: this one)",
    ),
    Option(
        name="image",
        parse=image,
        default=(),
        metavar="BACKEND[=IMAGE]",
        many=True,
        help="the image in which this backend's engine runs, in a container with the "
        "GPUs of the run; it needs pytest-lem of this version beside the engine; "
        "repeatable (default: none, and of IMAGE lem-BACKEND)",
    ),
    Option(
        name="container",
        parse=one_of("run", "exec"),
        default="run",
        metavar="MODE",
        help="run: a new container for each worker; exec: one for each backend that "
        "lasts as long as the session (default: run)",
    ),
    Option(
        name="container-args",
        parse=arguments,
        default=(),
        metavar="ARGUMENTS",
        help="more arguments for `docker run` or `podman run`, as a shell would read "
        "them (default: none)",
    ),
    Option(
        name="container-privileged",
        parse=truth,
        default=False,
        help="run containers as --privileged, which nothing here needs "
        "(default: false)",
    ),
    Option(
        name="missing",
        parse=one_of("fail", "skip"),
        default="fail",
        metavar="MODE",
        help="what an engine does that is not installed: fail, before anything runs, "
        "or skip its tests with the reason (default: fail)",
    ),
    Option(
        name="config-anywhere",
        parse=truth,
        default=False,
        help="let YAML files name others outside of lem_config_root (default: false)",
    ),
    Option(
        name="strict",
        parse=truth,
        default=False,
        help="fallbacks fail instead of being flagged, and what the hardware cannot "
        "run instead of being skipped (default: false)",
    ),
    Option(
        name="ignore-backend-warnings",
        parse=truth,
        default=False,
        help="say nothing of settings that are taken and better said otherwise; the "
        "report has them all the same (default: false)",
    ),
    Option(
        name="plan",
        parse=truth,
        default=False,
        help="print the plan with counts and estimated time; run nothing "
        "(default: false)",
    ),
    Option(
        name="no-lock",
        parse=truth,
        default=False,
        help="measure a GPU that another session of yours measures as well "
        "(default: false)",
    ),
    Option(
        name="json",
        parse=Path,
        default=None,
        metavar="FILE",
        help="write the report as JSON (default: not written)",
    ),
    Option(
        name="csv",
        parse=Path,
        default=None,
        metavar="FILE",
        help="write one row per experiment as CSV (default: not written)",
    ),
    Option(
        name="csv-cycles",
        parse=Path,
        default=None,
        metavar="FILE",
        help="write one row per cycle as CSV (default: not written)",
    ),
    Option(
        name="store",
        parse=str,
        default=None,
        metavar="URL",
        help="write each record to a store when it is finished: a file of SQLite, or "
        "postgresql://USER@HOST/DATABASE (default: not written; with --lem-save "
        ".lem/results.db)",
    ),
    Option(
        name="save",
        parse=label,
        default=None,
        metavar="LABEL",
        help="label the session's records in the store, if all of them are whole and "
        "valid, and none is a regression (default: none)",
    ),
    Option(
        name="traces",
        parse=Path,
        default=None,
        metavar="DIR",
        help="write the meters' raw readings, telemetry and marks to DIR "
        "(default: not written)",
    ),
    Option(
        name="carbon-intensity",
        parse=number(float, 0),
        default=None,
        metavar="G_PER_KWH",
        help="g CO2e per kWh, for emissions beside the joules (default: none)",
    ),
    Option(
        name="pue",
        parse=number(float, 1),
        default=1.0,
        metavar="FACTOR",
        help="power usage effectiveness of the building, for emissions (default: 1.0)",
    ),
    *PLAN_OPTIONS,
    *STATISTICS_OPTIONS,
    *GATE_OPTIONS,
    *SWEEP_OPTIONS,
    *INI_OPTIONS,
)


def add_options(parser: pytest.Parser) -> None:
    """Add the option group and the ini twins."""
    group = parser.getgroup("lem", "energy and performance of LLM inference")
    for option in OPTIONS:
        parser.addini(option.dest, option.help, default=None)
        if option.ini_only:
            continue
        extra: dict[str, Any] = {"action": "store", "metavar": option.metavar}
        if option.parse is truth:
            extra = {"action": "store_const", "const": "true"}
        elif option.bare is not None:
            extra |= {"nargs": "?", "const": option.bare}
        elif option.many:
            extra = {"action": "append", "metavar": option.metavar}
        group.addoption(
            option.flag, dest=option.dest, default=None, help=option.help, **extra
        )
