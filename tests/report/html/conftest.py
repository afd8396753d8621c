"""One experiment as a page sees it, made of a report by hand."""

import pytest

from pytest_lem.report.html.view import Source, experiments
from tests.store.making import cycle, report


@pytest.fixture
def show(tmp_path):
    """The one experiment of a report with these cycles; `changed` is of the report."""

    def make(*cycles, **changed):
        record = report(cycles=list(cycles) or [cycle()])
        record = record.model_copy(update=changed)
        (one,) = experiments([Source(record=record, folder=tmp_path)])
        return one

    return make
