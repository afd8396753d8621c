"""Meters and what disturbs them: idle power, heat, other processes."""

from pytest_lem.front.options.values import (
    Option,
    names,
    number,
    one_of,
    thermal,
    truth,
)

METERS_OPTIONS: tuple[Option, ...] = (
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
        name="no-lock",
        parse=truth,
        default=False,
        help="measure a GPU that another session of yours measures as well "
        "(default: false)",
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
)
