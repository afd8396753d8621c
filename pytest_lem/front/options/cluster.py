"""Options about a cluster: where its driver finds it, and what its nodes must have."""

from pytest_lem.front.options.values import (
    Option,
    assignment,
    number,
    one_of,
    truth,
)

LOCAL = "local"


def launch(text: str) -> str:
    """`local`, `ray` or `ray://HOST:PORT`."""
    if text not in (LOCAL, "ray") and not text.removeprefix("ray://").strip("/"):
        msg = "has no address: write ray://HOST:PORT"
        raise ValueError(msg)
    if text not in (LOCAL, "ray") and not text.startswith("ray://"):
        msg = "is none of local, ray, ray://HOST:PORT"
        raise ValueError(msg)
    return text


CLUSTER_OPTIONS: tuple[Option, ...] = (
    Option(
        name="launch",
        parse=launch,
        default=LOCAL,
        metavar="WHERE",
        help="where experiments are measured: local, this machine; ray, the nodes of "
        "the Ray cluster that it is part of (RAY_ADDRESS names another); "
        "ray://HOST:PORT, those of one that it is no part of (default: local)",
    ),
    Option(
        name="gpu-type",
        parse=str,
        default=None,
        metavar="NAME",
        help="with --lem-launch=ray: only nodes with GPUs of this type, as Ray names "
        "it, such as H100 (default: any)",
    ),
    Option(
        name="node-label",
        parse=assignment,
        default=(),
        metavar="KEY=VALUE",
        many=True,
        help="with --lem-launch=ray: only nodes with this label of Ray's; node=HOST "
        "names one; repeatable (default: any)",
    ),
    Option(
        name="exclusive-node",
        parse=truth,
        default=False,
        help="with --lem-launch=ray: take whole nodes, one session on each, so that "
        "Ray runs nothing else there (default: false)",
    ),
    Option(
        name="affinity",
        parse=one_of("place", "any"),
        default="place",
        metavar="WHERE",
        help="with --lem-launch=ray: where further cycles of an experiment run: place, "
        "on the GPUs, or the node without any, that ran the first; any, also on others "
        "of the same kind, flagged several_places (default: place)",
    ),
    Option(
        name="node-retries",
        parse=number(int, 0),
        default=2,
        metavar="N",
        help="with --lem-launch=ray: how often a cycle runs again whose node, or the "
        "session there, was lost (default: 2)",
    ),
    Option(
        name="node-timeout",
        parse=number(float, 0, above=True),
        default=60.0,
        metavar="S",
        help="with --lem-launch=ray: how long a node may give no sign of life before "
        "it is taken for lost (default: 60)",
    ),
    Option(
        name="ship",
        parse=truth,
        default=False,
        help="with --lem-launch=ray: have Ray send the files below the rootdir to the "
        "nodes, which else have them at the same path (default: false)",
    ),
)
