"""Engines in real containers: the same tokens, on one clock, and nothing left."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from pytest_lem.machine.gpu import discover

pytestmark = pytest.mark.slow

SOURCE = """
import json, time
from pathlib import Path
import pytest

from pytest_lem.machine.gpu import discover

@pytest.mark.lem
def test_it(lem):
    lem()

@pytest.mark.lem
def test_tokens(engine):
    before_ns = time.monotonic_ns()
    done = engine.generate([[5, 6, 7], [8, 9]], output_tokens=32)
    told = {
        "ids": [one.output_ids for one in done],
        "ns": [before_ns, *(t for one in done for t in (one.sent_ns, one.ended_ns))],
        "after_ns": time.monotonic_ns(),
    }
    Path("told.json").write_text(json.dumps(told))
"""
LONG = """
import pytest

from pytest_lem.machine.gpu import discover

@pytest.mark.lem(output_tokens=500, fake={"token_s": 1, "spawn_child": True})
def test_long(lem):
    lem()
"""


@pytest.mark.parametrize("mode", ["run", "exec"])
def test_a_container_does_what_a_process_does(begin, image, mode):
    """Token for token; a meter outside and stamps from inside are on one clock."""
    backend = "--lem-backend=transformers"
    there = begin(
        *(SOURCE, backend, f"--lem-image=transformers={image}"),
        f"--lem-container={mode}",
    )
    sessions = there, begin(SOURCE, backend)
    for session in sessions:
        code, output = session.end()
        assert code == 0, output
    inside, here = (
        json.loads((one.directory / "told.json").read_text()) for one in sessions
    )
    assert inside["ids"] == here["ids"]
    assert inside["ns"][0] < min(inside["ns"][1:])
    assert max(inside["ns"]) < inside["after_ns"]
    (cycle,) = there.report().experiments[0].cycles
    assert cycle.worker["image"]["name"] == image
    assert cycle.worker["image"]["mode"] == mode
    for window in cycle.windows:
        assert window.energy.gross_j == pytest.approx(100 * window.duration_s)
    assert there.containers() == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("mode", ["run", "exec"])
def test_no_end_of_pytest_leaves_a_container(begin, image, mode, signum):
    """Neither Ctrl-C nor kill -9, while an engine generates."""
    session = begin(
        *(LONG, "--lem-backend=fake", f"--lem-image=fake={image}"),
        f"--lem-container={mode}",
    )
    session.wait_for(lambda: busy(session))
    os.killpg(session.popen.pid, signum)
    code, _ = session.end()
    assert code == (2 if signum == signal.SIGINT else -signal.SIGKILL)
    session.wait_for(lambda: not session.containers())


def test_no_end_of_the_warden_leaves_a_container(begin, image, runtime):
    """kill -9 of what stands over it: its experiment fails, the next is measured."""
    source = LONG + "\n@pytest.mark.lem\ndef test_after(lem):\n    lem()\n"
    session = begin(source, "--lem-backend=fake", f"--lem-image=fake={image}")
    name = session.wait_for(lambda: busy(session))
    (warden,) = (
        int(pid)
        for pid, argv in command_lines(session.popen.pid).items()
        if f"--remove {name}" in argv
    )
    os.kill(warden, signal.SIGKILL)
    code, output = session.end()
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "worker is lost" in output
    died, after = (one.cycles[0].status for one in session.report().experiments)
    assert (died, after) == ("failed", "complete")
    assert session.containers() == []


def test_a_container_has_no_rights_and_no_variable_with_the_token(
    begin, image, runtime, tmp_path
):
    """The token is a file in it, of mode 0600, and nowhere else: not in any argv."""
    token = "hf_marker" + "0123456789"
    session = begin(
        *(LONG, "--lem-backend=fake", f"--lem-image=fake={image}"),
        HF_TOKEN=token,
        TMPDIR=str(tmp_path),
    )
    name = session.wait_for(lambda: busy(session))
    read = "import os; path = os.environ['HF_TOKEN_PATH']; print(open(path).read())"
    assert runtime.ask("exec", name, "python3", "-c", read) == token
    (secret,) = tmp_path.glob("lem-secret-*/hf_token")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert token not in runtime.ask("container", "inspect", name)
    argvs = command_lines(session.popen.pid)
    assert any(name in one for one in argvs.values())
    assert not [one for one in argvs.values() if token in one]
    first = runtime.ask("container", "inspect", "--format={{.State.Pid}}", name)
    facts = Path(f"/proc/{first}/status").read_text().split("\n")
    told = dict(one.split(":\t", 1) for one in facts if ":\t" in one)
    assert told["NoNewPrivs"] == "1"
    sys_admin = 1 << 21
    assert not int(told["CapEff"], 16) & sys_admin
    os.killpg(session.popen.pid, signal.SIGINT)
    _, output = session.end()
    assert token not in output
    assert not secret.exists()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if token.encode() in path.read_bytes()]


def test_engines_of_two_environments_share_a_session(begin, image):
    """transformers in a container, vLLM in another Python: each record says which."""
    python = os.environ.get("LEM_TEST_VLLM")
    if not python:
        pytest.skip("LEM_TEST_VLLM names no Python that has vLLM")
    session = begin(
        SOURCE.partition("@pytest.mark.lem\ndef test_tokens")[0],
        "--lem-backend=transformers,vllm",
        *(f"--lem-image=transformers={image}", f"--lem-python=vllm={python}"),
    )
    code, output = session.end()
    assert code == 0, output
    cycles = {
        one.spec["backend"]: one.cycles[0] for one in session.report().experiments
    }
    assert {one.status for one in cycles.values()} == {"complete"}
    assert cycles["transformers"].worker["image"]["name"] == image
    assert cycles["vllm"].worker["executable"] == python
    assert "image" not in cycles["vllm"].worker


def test_ranks_live_in_the_container_of_their_worker(begin, image):
    """Their logs are beside its own, outside."""
    copies = "--lem-set=transformers.num_processes=2", "--lem-set=batch_size=2"
    session = begin(
        *(SOURCE, "--lem-backend=transformers", f"--lem-image=transformers={image}"),
        *(*copies, "--lem-set=transformers.device=cpu", "-k", "test_it"),
    )
    code, output = session.end()
    assert code == 0, output
    (cycle,) = session.report().experiments[0].cycles
    assert len(cycle.worker["ranks"]) == 2
    assert len([*session.directory.glob(".lem/sessions/*/worker-1-rank*.log")]) == 2


def test_paths_of_this_machine_are_the_same_inside(begin, image, tmp_path):
    """A model that lies somewhere is found there, and profiles come out."""
    models = begin(SOURCE, "--lem-backend=transformers", LEM_CACHE_DIR=str(tmp_path))
    assert models.end()[0] == 0
    (model,) = (path.parent for path in tmp_path.glob("models/*/config.json"))
    elsewhere = tmp_path.with_name("elsewhere")
    model.rename(elsewhere)
    session = begin(
        *(SOURCE, "--lem-backend=transformers", f"--lem-image=transformers={image}"),
        *(f"--lem-model={elsewhere}", "--lem-torch-profile=profiles"),
    )
    code, output = session.end()
    assert code == 0, output
    profiles = [*(session.directory / "profiles").iterdir()]
    assert {path.stat().st_uid for path in profiles} == {os.getuid()}


def busy(session):
    """The name of a session's container once a window's engine runs in it."""
    names = session.containers()
    logs = (session.directory / ".lem").glob("sessions/*/worker-1.log")
    if not (names and [*logs]):
        return None
    done = subprocess.run(
        [session.runtime.command, "top", names[0]], capture_output=True, text=True
    )
    return names[0] if done.stdout.count("pytest_lem.worker") >= 2 else None


def command_lines(pid):
    """The command lines of a process and all below it, by their numbers."""
    found, todo = {}, [str(pid)]
    while todo:
        one = todo.pop()
        try:
            argv = Path(f"/proc/{one}/cmdline").read_bytes()
            below = Path(f"/proc/{one}/task/{one}/children").read_text()
        except OSError:
            continue
        found[one] = argv.replace(b"\0", b" ").decode()
        todo += below.split()
    return found


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["transformers", "vllm", "tensorrt"])
def test_a_container_has_the_gpus_of_the_run_and_no_others(begin, runtime, backend):
    """Each GPU of the machine in turn, and all of them; the engine measures on it."""
    name = os.environ.get(f"LEM_TEST_GPU_{backend.upper()}")
    if not name:
        pytest.skip(f"LEM_TEST_GPU_{backend.upper()} names no image for GPUs")
    uuids = [one.uuid for one in discover()]
    for chosen in [*([one] for one in uuids), uuids][: len(uuids) + 1]:
        session = begin(
            *(SOURCE.partition("@pytest.mark.lem\ndef test_tokens")[0],),
            *(f"--lem-backend={backend}", f"--lem-image={backend}={name}"),
            *(f"--lem-gpus={','.join(chosen)}", "--lem-meter=nvml"),
        )
        code, output = session.end()
        assert code == 0, output
        (cycle,) = session.report().experiments[0].cycles
        print(backend, "saw", cycle.worker["devices"])
        assert cycle.worker["devices"] == chosen
        assert cycle.windows[0].energy.gross_j > 0
