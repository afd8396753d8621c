"""What is done beside plain windows: stamps, trials, counted and profiled passes."""

from pathlib import Path

from pytest_lem.front.options.values import Option, one_of, search, truth

PASSES_OPTIONS: tuple[Option, ...] = (
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
)
