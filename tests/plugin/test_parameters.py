"""Older names, presets and parameters that no engine obeys yet, at the front door."""

import importlib.util

import pytest

SOURCE = """
import pytest

@pytest.mark.lem(MARK)
def test_it(lem):
    lem()

@pytest.mark.lem(MARK)
def test_other(lem):
    lem()
"""


def source(mark):
    return SOURCE.replace("MARK", mark)


def test_an_older_name_is_a_warning_at_collection_once(run, report):
    """Two tests, one note, and the experiment that was meant."""
    result = run(source("max_output_tokens=3"), "--lem-cycles=1", "--lem-json=r.json")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(
        ["*LemConfigWarning: 'max_output_tokens' is the older name of 'output_tokens'*"]
    )
    assert report().experiments[0].spec["workload"]["output_tokens"] == 3


def test_a_parameter_of_an_older_name_sets_todays(run, report):
    """A parametrised argument counts under both names."""
    text = """
    import pytest

    @pytest.mark.lem
    @pytest.mark.parametrize("max_output_tokens", [3])
    def test_it(lem, max_output_tokens):
        lem()
    """
    run(text, "--lem-cycles=1", "--lem-json=r.json").assert_outcomes(passed=1)
    (one,) = report().experiments
    assert one.provenance["output_tokens"] == "parametrize"


def test_an_older_name_may_be_made_an_error(run, errors_of):
    """`-W error` refuses it like any other mistake, in one line."""
    mark = "max_output_tokens=3"
    result = run(source(mark), "-W", "error::pytest_lem.LemConfigWarning")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert "test_it.py::test_it[fake]: 'max_output_tokens' is the older name" in line


def test_what_greedy_decoding_ignores_is_told_and_recorded(run, report):
    """Once for both tests, and in the record of each."""
    mark = "decoder={'temperature': 0.7, 'top_p': 0.9}"
    result = run(source(mark), "--lem-cycles=1", "--lem-json=r.json")
    result.assert_outcomes(passed=2, warnings=1)
    told = "decoder.temperature, decoder.top_p has no effect: *; say that, or leave it*"
    result.stdout.fnmatch_lines([f"*LemConfigWarning: {told}"])
    for one in report().experiments:
        assert one.effective["dormant"] == ["decoder.temperature", "decoder.top_p"]
        assert [note["severity"] for note in one.notes] == ["warning"]


def test_a_workload_of_the_body_is_looked_at_as_well(run, report):
    """The marker's note does not outlive the marker's decoder."""
    text = """
    import pytest
    from pytest_lem import Workload

    @pytest.mark.lem(decoder={"top_k": 5})
    def test_it(lem, engine):
        lem(engine, Workload(output_tokens=4, decoder={"min_p": 0.5}))
    """
    result = run(text, "--lem-cycles=2", "--lem-json=r.json")
    result.assert_outcomes(passed=1, warnings=2)
    (one,) = report().experiments
    assert [note["path"] for note in one.notes] == ["decoder.min_p"]
    assert one.effective["dormant"] == ["decoder.min_p"]


@pytest.mark.parametrize("option", [["--lem-ignore-backend-warnings"], []])
def test_notes_can_be_silenced_and_errors_cannot(run, report, errors_of, option):
    """The record has them either way, and says which."""
    strict = ("-W", "error::pytest_lem.LemConfigWarning")
    arguments = ("--lem-cycles=1", "--lem-json=r.json", *(strict if option else ()))
    result = run(source("max_output_tokens=3"), *arguments, *option)
    result.assert_outcomes(passed=2, warnings=0 if option else 1)
    found = report()
    assert found.session.warnings_ignored is bool(option)
    assert found.experiments[0].notes[0]["path"] == "output_tokens"
    result = run(source("output_tokens=0"), *arguments, *option)
    assert "output_tokens=0: " in errors_of(result)[0]


def test_a_preset_on_the_command_line_loses_to_the_marker(run, report):
    """--lem-preset fills in what nobody said."""
    mark = "decoder={'temperature': 0.3}"
    options = ("--lem-cycles=1", "--lem-json=r.json", "--lem-preset=creative")
    run(source(mark), *options).assert_outcomes(passed=2)
    one = report().experiments[0]
    decoder = one.spec["workload"]["decoder"]
    assert (decoder["temperature"], decoder["top_p"]) == (0.3, 0.9)
    assert one.provenance["decoder.top_p"] == "preset"
    assert one.provenance["preset"] == "cli"


def test_an_unknown_preset_is_said_before_collection(run, errors_of):
    """In one line, with the nearest."""
    result = run(source(""), "--lem-preset=creativ")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = errors_of(result)
    assert line.startswith("--lem-preset: preset 'creativ' is unknown; did you mean")


def test_a_project_may_keep_presets_of_its_own(run, project, report):
    """A file is a preset; its keys are those of the marker."""
    folder = project.mkdir("presets")
    (folder / "short.yaml").write_text(
        "meaning: a look\nbackend: fake\nrequests: 2\nfake: {jitter_s: [0.0]}\n"
    )
    options = ("-o", "lem_preset_paths=presets", "--lem-json=r.json")
    run(source("preset='short'"), *options).assert_outcomes(passed=2)
    one = report().experiments[0]
    assert one.spec["workload"]["requests"] == 2
    assert one.provenance["fake.jitter_s"] == "preset"


def test_a_preset_that_cannot_be_read_is_told_before_collection(
    run, project, errors_of
):
    """Each file with what is wrong with it, and a directory that is none."""
    folder = project.mkdir("presets")
    (folder / "creative.yaml").write_text("batch_size: 2\n")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "torn.yaml").write_text("a: [\n")
    result = run(source(""), "-o", "lem_preset_paths=presets,nix")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    told = errors_of(result)
    assert len(told) == 4
    assert "creative.yaml: a preset of this name is there already" in told[0]
    assert "list.yaml: is no mapping of marker keys" in told[1]
    assert told[3].endswith("nix is no directory")


def test_a_key_of_a_section_in_a_section_can_be_set(run, errors_of):
    """`--lem-set` takes as many dots as there are sections."""
    result = run(source(""), "--lem-set=vllm.speculative_config.method=5")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "vllm.speculative_config.method=5: " in errors_of(result)[0]


@pytest.mark.parametrize(("action", "code"), [("default", 0), ("error", 4)])
def test_a_package_out_of_range_is_a_warning(run, monkeypatch, action, code):
    """Once in a session, or an error where warnings are."""
    monkeypatch.setattr("pytest_lem.spec.compat.version", lambda name: "1.0")
    options = ("--collect-only", "--lem-meter=codecarbon")
    result = run(source(""), *options, "-W", f"{action}::pytest_lem.LemConfigWarning")
    assert result.ret == code
    told = [*result.outlines, *result.errlines]
    assert sum("codecarbon 1.0 is outside of" in line for line in told) == 1


@pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="transformers is not installed",
)
def test_what_the_engine_does_not_obey_is_refused_at_collection(run, errors_of):
    """Nothing is loaded, and nothing is silently left out."""
    mark = "transformers={'gguf_file': 'x.gguf'}"
    result = run(source(mark), "--lem-backend=transformers", "-k", "test_it")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert errors_of(result)[0].endswith(
        "transformers.gguf_file is not driven yet by this version"
    )
