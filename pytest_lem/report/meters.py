"""What `lem meters` tells people."""

from collections.abc import Iterable

from pytest_lem.meters.survey import Finding


def lines(found: Iterable[Finding]) -> list[str]:
    """A meter's name and what it reads, or why it cannot, and the details below."""
    return [line for one in found for line in _meter(one)]


def _meter(one: Finding) -> list[str]:
    if not one.works:
        return [f"{one.name}: no", f"    {one.reason}"]
    guess = "~" if one.basis == "estimated" else ""
    powers = ", ".join(
        f"{scope} {guess}{power:.1f} W" for scope, power in (one.power_w or {}).items()
    )
    return [
        f"{one.name}: {one.basis}, {powers}",
        f"    devices: {', '.join(one.devices)}",
        (
            f"    new every {1000 * (one.period_s or 0):.0f} ms; sampling takes "
            f"{one.core_share_pct or 0:.1f} % of one core"
        ),
        f"    {one.accuracy}",
    ]
