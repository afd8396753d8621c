"""What is written."""

from pathlib import Path

from pytest_lem.front.options.values import Option, label

REPORTS = ("json", "csv", "csv-cycles", "html")
"""The options that name files which are written of a session's record."""

FOLDERS = ("torch-profile", "save-outputs", "save-stamps", "save-raw")
"""The options that name folders, of files that are called alike in each session."""

RESULTS_OPTIONS: tuple[Option, ...] = (
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
        name="html",
        parse=Path,
        default=None,
        metavar="FILE",
        help="write the report as one HTML page, with charts; needs pytest-lem[report] "
        "(default: not written)",
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
)
