"""What is measured: engine, model, GPUs, settings."""

from pytest_lem.front.options.values import (
    Option,
    assignment,
    names,
    number,
    one_of,
    truth,
)

WHAT_OPTIONS: tuple[Option, ...] = (
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
    Option(
        name="seed",
        parse=number(int, 0),
        default=42,
        metavar="N",
        help="seed of order, prompts and sampling (default: 42)",
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
        name="ignore-backend-warnings",
        parse=truth,
        default=False,
        help="say nothing of settings that are taken and better said otherwise; the "
        "report has them all the same (default: false)",
    ),
    Option(
        name="strict",
        parse=truth,
        default=False,
        help="fallbacks fail instead of being flagged, and what the hardware cannot "
        "run instead of being skipped (default: false)",
    ),
)
