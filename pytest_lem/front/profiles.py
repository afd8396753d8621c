"""Named sets of options: how hard to measure for a look, for a gate, for a campaign.

They stand above the defaults and below presets, configuration file, markers and command
line. Each value has its reason in `docs/methodology.md`.
"""

from collections.abc import Mapping

PROFILES: Mapping[str, Mapping[str, str]] = {
    "quick": {
        "cycles": "1",
        "windows": "1",
        "max-seconds": "2",
        "warmup": "fixed:1",
        "idle": "off",
    },
    "ci": {
        "cycles": "5",
        "min-seconds": "2",
        "max-seconds": "20",
        "gap": "5",
        "cycle-gap": "5",
        "throttle": "rerun",
        "max-failures": "3",
    },
    "campaign": {
        "cycles": "6",
        "order": "latin_square",
        "order-seed": "plan",
        "min-seconds": "5",
        "max-seconds": "60",
        "idle-seconds": "30",
        "thermal-floor": "60",
        "gap": "60",
        "cycle-gap": "300",
        "throttle": "rerun",
    },
}
