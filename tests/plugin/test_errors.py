"""Bad input: one clear line each, all together, exit code 4, nothing lost."""

import json

import pytest

SOURCE = """
import pytest

@pytest.mark.lem
def test_it(lem):
    lem()
"""


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        (
            "--lem-backend=fkae",
            "--lem-backend: backend 'fkae' is unknown; did you mean 'fake'?",
        ),
        ("--lem-backend=,", "--lem-backend=',' names nothing"),
        ("--lem-meter=nvlm", "--lem-meter: *'nvlm'*did you mean 'nvml'?"),
        ("--lem-meter=fake:hot", "fake:hot*is no power in watts"),
        ("--lem-meter=none,fake", "--lem-meter: *'none' stands alone"),
        ("--lem-json=nix/r.json", "--lem-json=nix/r.json: nix is no directory"),
        ("--lem-json=.", "--lem-json=.: is a directory"),
        ("--lem-csv=nix/r.csv", "--lem-csv=nix/r.csv: nix is no directory"),
        ("--lem-cycles=0", "--lem-cycles='0' is not a number of at least 1"),
        ("--lem-cycles=two", "--lem-cycles='two' is not a number of at least 1"),
        ("--lem-cycles=21", "--lem-cycles: cycles=21 is not between 1 and 20"),
        ("--lem-windows=0", "--lem-windows='0' is not a number of at least 1*auto"),
        ("--lem-max-seconds=0", "--lem-max-seconds='0' is not a number above 0"),
        ("--lem-timeout=-1", "--lem-timeout='-1' is not a number above 0"),
        ("--lem-warmup=cv:2", "--lem-warmup: warmup='cv:2' is none of *'fixed:N'"),
        ("--lem-order=random", "--lem-order='random' is none of interleaved"),
        ("--lem-idle=maybe", "--lem-idle='maybe' is none of off, auto, required"),
        ("--lem-seed=-1", "--lem-seed='-1' is not a number of at least 0"),
        ("--lem-set=nonsense", "*'nonsense'* is not KEY=VALUE"),
        ("--lem-set=backend=fake", "*backend=fake* names an engine: say --lem-backend"),
        ("--lem-pue=0.5", "--lem-pue='0.5' is not a number of at least 1"),
    ],
)
def test_a_wrong_option_is_one_line_before_collection(run, project, argument, line):
    """What is wrong with an option is said at once, in one line that names it."""
    result = run(SOURCE, argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{line.replace('[', '[[]')}*"])
    assert len([one for one in result.errlines if one]) == 1
    assert not (project.path / ".lem").exists()


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("--lem-model=./nix", "model './nix' is not a model directory: *config.json*"),
        ("--lem-set=adapter=./nix", "adapter './nix' is not an adapter's directory: *"),
        ("--lem-model=synthetic:llama-tny", "*did you mean 'synthetic:llama-tiny'?*"),
        (
            "--lem-set=precison=fp16",
            "key 'precison' is unknown; did you mean 'precision'?*",
        ),
        ("--lem-set=precision=fp8", "precision='fp8': Input should be 'float32', *"),
        ("--lem-set=batch_size=0", "batch_size=0: *greater than or equal to 1"),
        ("--lem-set=output_tokens=0", "output_tokens=0: *greater than or equal to 1"),
        ("--lem-set=input_tokens=5000", "input_tokens=5000*context holds 4096"),
        ("--lem-set=prompts=nix.txt", "file */nix.txt cannot be read: *"),
        ("--lem-set=transformers=3", "transformers=3 is no mapping of parameters"),
        (
            "--lem-set=transformers.devise=cpu",
            "key 'transformers.devise' is unknown; * 'transformers.device'?*",
        ),
        ("--lem-set=transformers.device=tpu", "transformers.device='tpu': *"),
    ],
)
def test_a_wrong_value_names_item_and_key(run, project, argument, line):
    """What is wrong with an experiment is said at collection, naming its node."""
    result = run(SOURCE, argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: test_it.py::test_it[[]fake]: {line}"])
    assert not (project.path / ".lem").exists()


@pytest.mark.parametrize(
    ("mark", "line"),
    [
        ("batchsize=2", "key 'batchsize' is unknown; did you mean 'batch_size'?*"),
        ("backend='fake'", "key 'backend' is unknown; did you mean 'backends'?*"),
        ("fakes={}", "key 'fakes' is unknown; did you mean 'fake'?*"),
        ("'llama'", "lem('llama',): the marker takes only keywords"),
        ("cycles=0", "cycles=0 is not between 1 and 20"),
        ("batch_size='2'", "batch_size='2': Input should be a valid integer"),
        ("prompts=['', ' ']", "prompts is a list without any text"),
        (
            "min_output_tokens=9, output_tokens=8",
            "min_output_tokens=9 is above output_tokens=8",
        ),
        (
            "requests=2, arrivals={'mode': 'gamma', 'rate_rps': 5}",
            "arrivals: mode=gamma needs burstiness",
        ),
        (
            "prompts=['a'], input_tokens=None, prompt_options={'chat_template': True}",
            "prompt_options.chat_template: fake has no chat templates",
        ),
        (
            "prompts=['a'], prompt_options={'colum': 'text'}",
            "key 'prompt_options.colum' is unknown; did you mean *.column'?*",
        ),
    ],
)
def test_a_wrong_marker_names_item_key_and_choice(run, mark, line):
    """A marker's mistake is a usage error with the nearest valid choice."""
    result = run(SOURCE.replace("mark.lem", f"mark.lem({mark})"))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: test_it.py::test_it[[]fake]: {line}"])


def test_all_items_errors_come_together(run, project):
    """One run tells all mistakes of all items, several in one item too."""
    source = """
    import pytest

    @pytest.mark.lem(batchsize=2, output_tokens=0)
    def test_one(lem):
        lem()

    @pytest.mark.lem
    @pytest.mark.parametrize("batch_size", [1, 0])
    def test_two(lem, batch_size):
        lem()

    @pytest.mark.lem
    def test_stray():
        pass
    """
    result = run(source)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines_random(
        [
            "*test_one[[]fake]: key 'batchsize'*",
            "*test_one[[]fake]: output_tokens=0*",
            "*test_two[[]fake-0]: batch_size=0*",
            "*test_stray: is marked lem but takes no `lem` or `engine` fixture",
        ]
    )
    result.stderr.no_fnmatch_line("*fake-1*")
    assert not (project.path / ".lem").exists()


def test_a_prompt_file_that_is_no_text_is_refused(run, project):
    """A prompt file that cannot be decoded, or has no text, is told by its path."""
    (project.path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    (project.path / "empty.txt").write_text("\n \n")
    for name in ("bytes.txt", "empty.txt"):
        result = run(SOURCE.replace("mark.lem", f"mark.lem(prompts={name!r})"))
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: *test_it[[]fake]: *{name}*"])


def test_a_prompt_file_is_found_beside_the_test(run, project, report):
    """A relative prompt file is looked for in the directory of its test."""
    inner = project.mkdir("inner")
    (inner / "prompts.txt").write_text("one\nthree\n")
    source = SOURCE.replace("mark.lem", "mark.lem(prompts='prompts.txt', batch_size=2)")
    (inner / "test_in.py").write_text(source)
    arguments = ("inner", "-o", "lem_set=fake.token_s=0.001", "--lem-json=r.json")
    run(None, *arguments).assert_outcomes(passed=1)
    window = report().experiments[0].cycles[0].windows[0]
    assert window.tokens.input == len("one") + len("three")


def test_a_column_of_a_table_is_asked_and_told(run, project, report):
    """The record has the column, and how many prompts there were and were taken."""
    rows = [{"question": "a" * k, "answer": "b"} for k in range(1, 6)]
    lines = "\n".join(json.dumps(row) for row in rows)
    (project.path / "asked.jsonl").write_text(lines)
    options = "{'count': 2, 'order': 'shuffled'}"
    marked = f"mark.lem(prompts='asked.jsonl', prompt_options={options}, batch_size=2)"
    source = SOURCE.replace("mark.lem", marked)
    run(source, "--lem-set=input_tokens=9", "--lem-json=r.json").assert_outcomes(
        passed=1
    )
    told = report().experiments[0].cycles[0].prompts
    assert (told["format"], told["column"]) == ("jsonl", "question")
    assert (told["count"], told["available"]) == (2, 5)
    result = run(source, "--lem-set=prompt_options.column=anser")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *asked.jsonl: column 'anser' is unknown; *answer*"]
    )


def test_a_file_of_lengths_is_found_beside_the_test(run, project, report):
    """Its lengths are asked for, to the token; another content is another identity."""
    marked = "mark.lem(input_lengths='file:sizes.csv', requests=3)"
    inner = project.mkdir("inner")
    (inner / "test_in.py").write_text(SOURCE.replace("mark.lem", marked))
    arguments = ("inner", "--lem-json=r.json", "-o", "lem_set=output_tokens=4")
    identities = set()
    for size in ("7", "9"):
        (inner / "sizes.csv").write_text(f"input_tokens\n{size}\n")
        run(None, *arguments).assert_outcomes(passed=1)
        one = report().experiments[0]
        identities.add(one.identity)
        assert one.cycles[0].windows[0].tokens.input == 3 * int(size)
    assert len(identities) == 2


def test_pairs_of_lengths_are_asked_for_to_the_token(run, project, report):
    """The same in every window, stamped too; what does not fit is told beforehand."""
    pairs = project.path / "pairs.csv"
    pairs.write_text("input,output\n7,2\n9,5\n20,1\n")
    marked = "mark.lem(input_lengths='trace:pairs.csv', output_lengths='paired')"
    source = SOURCE.replace("mark.lem", marked)
    sizes = "requests=3", "batch_size=2", "streaming=true"
    arguments = [f"--lem-set={one}" for one in (*sizes, "streaming_warmup_requests=0")]
    arguments += ["-o", "lem_set=seed=1"]
    result = run(source, *arguments)
    result.stderr.fnmatch_lines(["*pairs.csv has 3 rows, and a window has 10 requests"])
    pairs.write_text("input,output\n" + "7,2\n9,5\n20,1\n" * 4)
    run(source, *arguments, "--lem-json=r.json").assert_outcomes(passed=1)
    cycle = report().experiments[0].cycles[0]
    *energy, latency = cycle.windows
    assert {(w.tokens.input, w.tokens.output) for w in energy} == {(36, 8)}
    assert energy[0].tokens.padding == 2 + 3
    assert (latency.tokens.input, latency.tokens.output) == (3 * 36 + 7, 3 * 8 + 2)
    told = cycle.prompts["lengths"]["output"]
    assert (told["n"], told["min"], told["max"]) == (3, 1, 5)
    assert cycle.prompts["output_lengths"].startswith("paired:trace:")
    pairs.write_text("input,output\n" + "4000,97\n" * 10)
    result = run(source, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*request 0 has 4000 tokens in and 97 out, which make 4097; *4096"]
    )


def test_an_unusable_meter_asked_for_by_name_is_refused(run, project):
    """A trace that is not there is a usage error, before anything is measured."""
    result = run(SOURCE, "--lem-meter=replay:nix.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: trace nix.json cannot be read *"])
    assert not (project.path / ".lem").exists()


@pytest.mark.parametrize(
    ("ini", "line"),
    [
        ("lem_cycles=x", "ini lem_cycles='x' is not a number of at least 1, nor auto"),
        ("lem_cycles=30", "lem_cycles: cycles=30 is not between 1 and 20"),
        ("lem_order=x", "ini lem_order='x' is none of interleaved, *"),
        ("lem_strict=maybe", "ini lem_strict='maybe' is neither true nor false"),
        (
            "lem_backend=fkae",
            "lem_backend: backend 'fkae' is unknown; *",
        ),
        ("lem_meter=nvlm", "lem_meter: meter 'nvlm' is unknown; *"),
        ("lem_idle_seconds=0", "ini lem_idle_seconds='0' is not a number of *"),
        ("lem_json=nix/r.json", "lem_json=nix/r.json: nix is no directory"),
    ],
)
def test_a_wrong_ini_value_is_told_by_its_key(run, ini, line):
    """Configuration files are checked as the command line is, and named."""
    result = run(SOURCE, "-o", ini)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {line}"])


def test_several_wrong_options_come_together(run):
    """All options that are wrong are said in one go."""
    result = run(SOURCE, "--lem-cycles=0", "--lem-order=x", "--lem-pue=0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    for name in ("--lem-cycles", "--lem-order", "--lem-pue"):
        result.stderr.fnmatch_lines([f"*{name}=*"])


def test_a_bad_experiment_of_others_does_not_stop_plain_runs(run):
    """A wrong marker that -k leaves out does not matter."""
    source = """
    import pytest

    @pytest.mark.lem(batchsize=2)
    def test_bad(lem):
        lem()

    @pytest.mark.lem
    def test_good(lem):
        lem()
    """
    run(source, "-k", "good").assert_outcomes(passed=1, deselected=1)


def test_an_engines_error_is_told_with_kind_and_log(run, report):
    """A failure in the worker fails its test with the engine's own words."""
    source = SOURCE.replace("mark.lem", "mark.lem(fake={'fail_at': 'load'})")
    result = run(source, "--lem-json=r.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the script fails at load*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert report().experiments[0].excluded == [{"cycle": 0, "cause": "generation"}]


def test_a_fixture_asked_for_at_run_time_is_refused(run):
    """`getfixturevalue("lem")` comes too late for the plan, and the test says so."""
    source = """
    def test_it(request):
        request.getfixturevalue("lem")
    """
    result = run(source)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*take `lem` or `engine` as an argument of the test*"])


def test_unittest_methods_are_refused(run):
    """pytest cannot parametrise unittest's methods: a usage error names them."""
    source = """
    import unittest
    import pytest

    class TestIt(unittest.TestCase):
        @pytest.fixture(autouse=True)
        def take(self, lem):
            self.lem = lem

        def test_it(self):
            self.lem()
    """
    result = run(source)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: test_it.py::TestIt::test_it: *TestCase*"])


def test_a_report_that_cannot_be_written_loses_nothing(run, project, journal):
    """A directory that vanished fails the session; journal and other report stay."""
    project.mkdir("gone")
    source = """
    import shutil
    import pytest

    @pytest.mark.lem
    def test_it(lem):
        lem()
        shutil.rmtree("gone", ignore_errors=True)
    """
    result = run(source, "--lem-json=gone/r.json", "--lem-csv=r.csv")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["report gone/r.json could not be written: *"])
    assert len(journal()) == 2
    assert (project.path / "r.csv").read_text().count("\n") == 2


HARDWARE = """
import pytest

@pytest.mark.lem(fake={"fail_at": "load", "fail_kind": "hardware"})
class TestThem:
    def test_it(self, lem):
        lem()

    def test_own_loop(self, lem, engine):
        with lem.window():
            engine.generate([[1]], output_tokens=1)

    def test_engine(self, engine):
        engine.generate([[1]], output_tokens=1)

@pytest.mark.lem
def test_other(lem):
    lem()
"""


def test_what_the_hardware_cannot_run_is_skipped_with_the_reason(run, report):
    """Once, not for each cycle; the report says so, and the others run."""
    result = run(HARDWARE, "--lem-cycles=2", "--lem-json=r.json", "-rs")
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines(
        [
            f"SKIPPED [[]1] test_it.py:{k}: fake, load: *fails at load"
            for k in (6, 9, 13)
        ]
    )
    found = report()
    skipped = {one["experiment_id"]: one["reason"] for one in found.plan.skipped}
    assert skipped["test_it.py::TestThem::test_it[fake]"].endswith("fails at load")
    (kept,) = found.experiments[0].cycles
    assert (kept.status, kept.error.kind) == ("failed", "hardware")


def test_what_the_hardware_cannot_run_fails_where_nothing_may_be_lost(run):
    """As any other failure of a load."""
    result = run(HARDWARE, "--lem-cycles=2", "--lem-strict")
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(["E *HardwareError: fake, load: the script fails*"])
