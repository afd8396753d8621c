"""The front door, in the order in which pytest calls it."""

from collections.abc import Generator, Iterator
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_lem import hookspecs
from pytest_lem.errors import HardwareError
from pytest_lem.front import replaying
from pytest_lem.front.fixtures import engine, lem, lem_backend, meter
from pytest_lem.front.interpreters import check_backends
from pytest_lem.front.items import (
    BACKEND,
    backends_of,
    is_measured,
    stray_markers,
    takes_backend,
)
from pytest_lem.front.launching import check_launch
from pytest_lem.front.loop import (
    interruptible,
    note_fate,
    run_in_place,
    run_silently,
)
from pytest_lem.front.options import add_options
from pytest_lem.front.options.results import REPORTS
from pytest_lem.front.parallel import take_part, tell_controller
from pytest_lem.front.settings import SETTINGS, check, resolve
from pytest_lem.front.stash import (
    CALLS,
    CYCLE,
    ENDED,
    FILE_PROBLEMS,
    HELD_BACK,
    LOOP,
    SESSION,
    SILENT,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_lem.front.campaigns import CampaignFile
    from pytest_lem.front.session import LemSession

__all__ = ["engine", "lem", "lem_backend", "meter"]

HEADLINE = "lem_headline"

MARKER = (
    "lem(model=..., precision=..., batch_size=..., output_tokens=..., ...): an "
    "experiment on LLM inference; keywords are fields of engine spec, workload and "
    "effort, sections such as transformers={...}, and backends=[...]; `pytest --help` "
    "lists them under --lem-set"
)


def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser
) -> None:
    """Complete the help from the models, which nothing but help needs this early."""
    if early_config.known_args_namespace.help:
        from pytest_lem.front.helptext import complete

        complete(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let others extend the plugin."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and their ini twins."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the options; what is wrong with them is said here."""
    config.addinivalue_line("markers", MARKER)
    config.stash[SETTINGS] = resolve(config)
    if replaying.asked(config):
        config.pluginmanager.register(replaying.Replay(config), "lem-replay")
    check(config, config.stash[SETTINGS])
    check_launch(config)
    check_backends(config)
    take_part(config)


def pytest_collect_file(
    file_path: "Path", parent: pytest.Collector
) -> "CampaignFile | None":
    """Take campaigns and experiments in YAML as tests."""
    if not file_path.name.endswith((".lem.yaml", ".lem.yml")):
        return None
    from pytest_lem.front.campaigns import CampaignFile

    return CampaignFile.from_parent(parent, path=file_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise over backends those tests that use our fixtures, and no others."""
    if BACKEND in metafunc.fixturenames:
        metafunc.parametrize(BACKEND, backends_of(metafunc.config), indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Plan the experiments; all that is wrong with them is said together."""
    problems = [*config.stash.get(FILE_PROBLEMS, ()), *stray_markers(items)]
    if any(takes_backend(item) for item in items):
        problems += _plan(config, items)
    if problems:
        tell_controller(config, refused=problems)
        raise pytest.UsageError(*problems)
    if SESSION in config.stash:
        config.stash[SESSION].ready = True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Forget the experiments that --lf and its like took out after us.

    The others are the plan: what stands against going on with an earlier one is said
    here.
    """
    state = session.config.stash.get(SESSION, None)
    if state is None:
        return
    state.program.keep({item.nodeid for item in session.items})
    planned = state.ready and state.program.steps
    if planned and not session.config.option.collectonly:
        from pytest_lem.front.beginning import lay_out

        problems = lay_out(state)
        if problems:
            raise pytest.UsageError(*problems)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Say what will be measured, on what and how; nothing where nothing will."""
    state = config.stash.get(SESSION, None)
    if config.option.verbose < 0 or state is None or not state.ready:
        return []
    if not state.program.steps:
        return []
    from pytest_lem.report.terminal import header

    return header(state.describe())


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the plan, pass by pass; without experiments the loop is pytest's own."""
    config = session.config
    state = config.stash.get(SESSION, None)
    if state is None or not state.program.steps or config.option.collectonly:
        return None
    if state.share is not None:
        return None  # the loop is xdist's: cycles run where it runs an item
    if session.testsfailed and not config.option.continue_on_collection_errors:
        return None
    if config.stash[SETTINGS]["plan"]:
        return _print_plan(config, state)
    from pytest_lem.front.running import run_plan

    run_plan(session, state)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> bool | None:
    """Run a cycle that is not the last without a report; leave the rest to pytest."""
    state = item.config.stash.get(SESSION, None)
    if state is not None and _leaves_out(item, state):
        return None
    if state is not None and state.share is not None and not state.share.remote:
        return _run_beside_others(item, nextitem, state)
    if not item.stash.get(SILENT, False):
        return None
    run_silently(item, nextitem)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """End the cycle of a test's own loop; a test that measured nothing has not passed.

    What the machine cannot run is skipped, unless nothing may be lost.

    It did so if it took `lem` and neither called it nor opened a window.
    """
    __tracebackhide__ = True
    try:
        yield
    except BaseException as error:
        _finish_loop(item, error)
        strict = item.config.stash[SETTINGS]["strict"]
        if isinstance(error, HardwareError) and not strict:
            raise _skipped(item, error) from None
        raise
    measured = _finish_loop(item, None) or item.stash.get(CALLS, 1)
    if is_measured(item) and not measured:
        pytest.fail(
            "took the `lem` fixture and never called lem() or opened lem.window()",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell held-back assertions from errors; put the headline into the report."""
    report = yield
    if is_measured(item) and (state := item.config.stash.get(SESSION, None)):
        state.streak.hear(item, report, asserted=_may_change(call))
    called = is_measured(item) and report.when == "call"
    if called:
        item.stash[HELD_BACK] = not report.passed and _may_change(call)
    note_fate(item, report)
    if called:
        with item.config.stash[SESSION].ending(item, report):
            _end_cycle(item, report)
    return report


def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Show the headline number inline under -v."""
    headline = getattr(report, HEADLINE, None)
    if hasattr(report, "wasxfail"):
        return None
    if headline and report.passed and report.when == "call":
        return "passed", ".", (f"PASSED {headline}", {"green": True})
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """End the engine and the meters, write the reports."""
    state = session.config.stash.get(SESSION, None)
    if state is not None:
        from pytest_lem.front.ending import finish

        interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        with interruptible():
            finish(state, interrupted=interrupted)
        worse = [*state.gating.late()]
        if (state.unwritten or worse) and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """One section: the table, what the flags mean, where the reports are."""
    state = config.stash.get(SESSION, None)
    if state is None or state.final is None:
        return
    if config.stash[SETTINGS]["github"]:
        from pytest_lem.front.publishing import publish

        for line in publish(state.final, state.gating, config.rootpath):
            terminalreporter.write_line(line)
    if config.option.no_summary:
        return
    from pytest_lem.report.gate import verdicts

    terminalreporter.section("lem", sep="=")
    width = terminalreporter._tw.fullwidth
    written = [config.stash[SETTINGS][kind] for kind in REPORTS]
    reports = [*filter(None, written)]
    for line in state.final.lines(width, reports, state.store):
        terminalreporter.line(line)
    for line in verdicts(state.gating.found, state.gating.spent, width):
        terminalreporter.line(line)
    for line in state.told:
        terminalreporter.line(line)
    for problem in [*state.problems, *state.unwritten]:
        terminalreporter.line(problem, red=True)
    if state.left is not None:
        terminalreporter.line(state.left)


def _plan(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    from pytest_lem.front.beginning import too_many
    from pytest_lem.front.program import fill
    from pytest_lem.front.session import session_of

    state = session_of(config)
    if state.share is not None and state.share.problems:
        return state.share.problems
    problems = fill(state.program, config, items)
    if problems or config.option.collectonly or config.stash[SETTINGS]["plan"]:
        return problems
    if problem := too_many(state):
        return [problem]
    return state.open()


def _leaves_out(item: pytest.Item, state: "LemSession") -> bool:
    """Have pytest skip an experiment that a rule keeps from beginning."""
    if item.stash.get(CYCLE, 0) or item.nodeid not in state.program.entries:
        return False
    if state.share is not None and state.share.remote:
        return False  # the driver knows what others measured, and says so
    reason = state.sweeps.reason(item)
    if reason is not None:
        item.add_marker(pytest.mark.skip(reason=reason))
        item.stash[SILENT], item.stash[ENDED] = False, True
    return reason is not None


def _run_beside_others(
    item: pytest.Item, nextitem: pytest.Item | None, state: "LemSession"
) -> bool | None:
    """Run an item as a worker of xdist: all its cycles, while there is time."""
    if over := state.over():
        item.session.shouldstop = over
        return True
    entry = state.program.entries.get(item.nodeid)
    return run_in_place(item, entry.cycles, nextitem) if entry else None


def _finish_loop(item: pytest.Item, error: BaseException | None) -> bool:
    """Keep the cycle that the body's own windows make; whether there were any."""
    __tracebackhide__ = True
    loop = item.stash.get(LOOP, None)
    if loop is not None:
        loop.finish(error)
    return loop is not None


def _skipped(item: pytest.Item, error: HardwareError) -> BaseException:
    """The error as pytest's own of a skip, told where the test met it."""
    item.config.stash[SESSION].program.skip(item.nodeid, error.message)
    entry = error.__traceback__
    while entry and entry.tb_next and entry.tb_frame.f_code is not _code(item):
        entry = entry.tb_next
    if entry:
        entry = TracebackType(None, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return pytest.skip.Exception(error.message).with_traceback(entry)


def _code(item: pytest.Item) -> CodeType | None:
    return getattr(getattr(item, "obj", None), "__code__", None)


def _may_change(call: pytest.CallInfo[None]) -> bool:
    """Whether later cycles may judge otherwise: asserted, or unexpectedly passed."""
    return call.excinfo is None or call.excinfo.errisinstance(AssertionError)


def _end_cycle(item: pytest.Item, report: pytest.TestReport) -> None:
    """Say what the last cycle tells with those before; it may be this one after all."""
    state = item.config.stash[SESSION]
    if item.stash.get(SILENT, False) and state.enough(item.nodeid):
        item.stash[SILENT] = False
    if not item.stash.get(SILENT, False):
        setattr(report, HEADLINE, _conclude(item))
        state.judge(item, report)


def _conclude(item: pytest.Item) -> str | None:
    """Put the pooled numbers into the JUnit properties; return the headline."""
    from pytest_lem.report.terminal import headline, properties

    result = item.config.stash[SESSION].conclude(item.nodeid)
    if not result.cycles:
        return None
    item.user_properties += properties(result)
    return headline(result)


def _print_plan(config: pytest.Config, state: "LemSession") -> bool:
    from pytest_lem.report.terminal import plan_lines

    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    lines = plan_lines(state.describe(), state.planning.steps())
    for line in lines if reporter else ():
        reporter.write_line(line)
    return True
