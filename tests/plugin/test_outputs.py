"""`--lem-save-outputs`: the texts of the windows, when they are over."""

import json

SOURCE = """
import pytest

@pytest.mark.lem(batch_size=2, streaming=True, streaming_warmup_requests=0)
def test_it(lem):
    lem()
"""


def test_each_cycle_has_a_file_with_a_line_for_each_request(run, report, project):
    """Of every window, in order, with its text; the report says where."""
    run(SOURCE, "--lem-save-outputs=texts", "--lem-json=r.json").assert_outcomes(
        passed=1
    )
    (one,) = report().experiments
    paths = [cycle.prompts["outputs_path"] for cycle in one.cycles]
    files = sorted((project.path / "texts").iterdir())
    assert paths == [str(path) for path in files]
    for cycle, path in zip(one.cycles, files, strict=True):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        energy = [line for line in lines if line["kind"] == "energy"]
        assert len(lines) == sum(window.requests for window in cycle.windows)
        assert [line["request"] for line in energy] == [0, 1]
        assert {len(line["text"]) for line in lines} == {4}
        assert {line["output_tokens"] for line in lines} == {4}


def test_nothing_is_kept_unasked(run, report):
    """And the record says that nobody asked."""
    run(SOURCE, "--lem-json=r.json").assert_outcomes(passed=1)
    (one,) = report().experiments
    assert one.cycles[0].prompts["outputs_path"] is None
    assert one.cycles[0].nulls["prompts.outputs_path"] == "not_asked_for"


def test_texts_that_cannot_be_written_flag_the_cycle(run, report, project):
    """Its windows count: what was measured is not lost."""
    project.mkdir("texts")
    # A file takes the folder's place when collection is over.
    body = """import pathlib
        place = pathlib.Path("texts")
        place.is_dir() and place.rmdir()
        place.touch()
        lem()"""
    source = SOURCE.replace("lem()", body.replace("\n        ", "\n    "))
    run(source, "--lem-save-outputs=texts", "--lem-json=r.json").assert_outcomes(
        passed=1
    )
    (one,) = report().experiments
    assert "outputs_not_saved" in one.flags
    assert one.cycles[0].nulls["prompts.outputs_path"] == "not_writable"
    assert "output_throughput_tps" in one.summary
