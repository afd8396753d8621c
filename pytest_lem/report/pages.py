"""The pages of docs/ on parameters and versions, made of the models and of the table.

`python -m pytest_lem.report.pages DIRECTORY` writes them.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_lem.report.parameters import NAMES, effect, obeyed, takes
from pytest_lem.spec import catalogue
from pytest_lem.spec.catalogue import BACKENDS, UNIVERSAL, Row
from pytest_lem.spec.compat import packages
from pytest_lem.spec.presets import PRESETS

_MADE = "<!-- Made by `python -m pytest_lem.report.pages docs`; do not edit. -->"
_LEGEND = (
    "Effect is what setting or raising it does to energy per token (E), throughput "
    "(T), latency (L) and memory (M): more (+), less (-), or either (~), as "
    "expected, or as measured where that is said; what is not named is hardly affected."
)
_UNSET = (
    "A parameter that is not set is not sent: the engine's own default holds, which is "
    "given under *unset*."
)


def pages() -> dict[str, str]:
    """{file name: text} of every page."""
    listed = {f"parameters-{of}.md": page(of) for of in (UNIVERSAL, *BACKENDS)}
    return {**listed, "compatibility.md": "\n".join([*_compatibility(), ""])}


def page(of: str) -> str:
    """The page of a backend, or of the universal parameters."""
    body = _universal() if of == UNIVERSAL else _backend(of)
    return "\n".join([*body, ""])


def _compatibility() -> Iterator[str]:
    yield "# Versions"
    yield from ("", _MADE, "")
    yield (
        "What `pytest_lem/compat.toml` says: versions that this one was written for, "
        "and those it was tried with. Another version is told in a warning when tests "
        "are collected."
    )
    yield ""
    yield from _table(
        ["package", "for", "versions", "tried"],
        (
            [
                one.name,
                one.engine or one.beside or f"meter {one.meter}",
                one.range,
                "; ".join(f"{v}: {how}" for v, how in one.tried.items()) or "none",
            ]
            for one in packages()
        ),
    )


def _universal() -> Iterator[str]:
    yield "# Universal parameters"
    yield from ("", _MADE, "")
    yield (
        "These mean the same on every backend. They are keys of the marker, of "
        "`--lem-set KEY=VALUE` and of the ini file's `lem_set`; those of the decoder "
        "are keys of `decoder={...}`, or `decoder.KEY`."
    )
    yield from ("", _LEGEND)
    rows = catalogue.rows(UNIVERSAL)
    yield from _groups(rows)
    yield from ("", "## Where they go", "")
    head = [NAMES.get(one, one) for one in BACKENDS]
    yield from _table(
        ["parameter", *head],
        (
            [f"`{row.path}`", *(_code(row.targets.get(one, "")) for one in BACKENDS)]
            for row in rows
            if UNIVERSAL not in row.targets
        ),
    )
    yield from ("", "## Presets", "")
    yield (
        "`--lem-preset=NAME[,NAME]`, or `preset=` in the marker; a decoder's preset "
        "also as `decoder={'preset': NAME}`. What ini, marker or command line say "
        "wins. A project's own are files `NAME.yaml` of marker keys, with `meaning` "
        "and, where they are for one, `backend`, in the directories of the ini key "
        "`lem_preset_paths`."
    )
    yield ""
    yield from _table(
        ["preset", "for", "what it is", "values"],
        (
            [f"`{name}`", one.backend or "all", one.meaning, _values(one.values)]
            for name, one in PRESETS.items()
        ),
    )
    yield from _older(rows)


def _backend(of: str) -> Iterator[str]:
    rows = catalogue.rows(of)
    yield f"# Parameters of {NAMES.get(of, of)}"
    yield from ("", _MADE, "")
    yield (
        f"Keys of the section `{of}={{...}}` of the marker, or "
        f"`--lem-set {of}.KEY=VALUE`, beside the "
        f"[universal parameters](parameters-universal.md). {_UNSET}"
    )
    yield from ("", _LEGEND, "")
    yield f"Written for versions {catalogue.versions(of)}. {_driven(of)}"
    yield from _groups(rows)
    yield from _older(rows)
    yield from ("", "## Gone", "")
    yield "These are refused, with what to use instead."
    yield ""
    gone = {k: v for k, v in catalogue.removed().items() if k.startswith(f"{of}.")}
    yield from _table(
        ["name", "instead"], ([f"`{name}`", why] for name, why in gone.items())
    )
    yield from ("", "## Not parameters", "")
    for why, names in catalogue.not_covered(of).items():
        yield f"- {why}: {', '.join(f'`{name}`' for name in names)}"


def _driven(of: str) -> str:
    """Which of them the engine of this version obeys."""
    names = obeyed(of)
    if names is None:
        return "This version has no such engine yet."
    told = ", ".join(f"`{name}`" for name in sorted(names))
    return f"This version drives {told}; the others are checked, then refused by name."


def _groups(rows: tuple[Row, ...]) -> Iterator[str]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    for title, group in groups.items():
        yield from ("", f"## {title.rstrip('.').partition(';')[0]}", "")
        yield from _table(
            ["parameter", "takes", "unset", "what it does", "effect", "native"],
            (
                [
                    f"`{row.path}`",
                    takes(row),
                    row.engine_default or "-",
                    _meaning(row),
                    effect(row.effect),
                    ", ".join(dict.fromkeys(map(_code, row.targets.values()))),
                ]
                for row in group
            ),
        )


def _older(rows: tuple[Row, ...]) -> Iterator[str]:
    older = [(name, row.path) for row in rows for name in row.older_names]
    if not older:
        return
    yield from ("", "## Older names", "")
    yield (
        "These are taken with a warning, and mean the same experiment; "
        "`-W error::pytest_lem.LemConfigWarning` refuses them."
    )
    yield ""
    yield from _table(
        ["older name", "today"], ([f"`{old}`", f"`{now}`"] for old, now in older)
    )


def _meaning(row: Row) -> str:
    told = [row.meaning, f"Advice: {row.advice}" if row.advice else ""]
    told.append(f"Needs: {row.needs}" if row.needs else "")
    told.append(f"Versions {row.versions}." if row.versions else "")
    return " ".join(filter(None, told))


def _values(values: Mapping[str, object], prefix: str = "") -> str:
    told = [
        _values(value, f"{prefix}{key}.")
        if isinstance(value, Mapping)
        else f"`{prefix}{key}={value}`"
        for key, value in values.items()
    ]
    return ", ".join(told)


def _code(target: str) -> str:
    return "-" if target in ("", "none") else f"`{target}`"


def _table(head: list[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"


def main(directory: Path) -> None:
    """Write every page into a directory."""
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
