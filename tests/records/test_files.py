"""Files are seen whole or not at all, also when the writer is killed."""

import random
import signal
import subprocess
import sys
import time

import pytest

from pytest_lem.records.files import write_atomic

WRITER = """
import sys
from pathlib import Path
from pytest_lem.records.files import write_atomic
while True:
    for letter in "ab":
        write_atomic(Path(sys.argv[1]), letter * 300_000 + "\\n")
        print(letter, flush=True)
"""


def test_a_killed_writer_never_leaves_a_part(tmp_path):
    """Whenever SIGKILL comes, the file is one whole version."""
    path, chance = tmp_path / "report.json", random.Random(1)
    whole = {letter * 300_000 + "\n" for letter in "ab"}
    for _ in range(12):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            end_s = time.monotonic() + chance.uniform(0, 0.03)
            while time.monotonic() < end_s:
                assert path.read_text(encoding="utf-8") in whole
            writer.send_signal(signal.SIGKILL)
        assert writer.returncode == -signal.SIGKILL
        assert path.read_text(encoding="utf-8") in whole


def test_text_is_utf_8_with_its_line_ends(tmp_path):
    """Equal text is equal bytes on every platform."""
    path = tmp_path / "a.csv"
    write_atomic(path, "ü\r\nb\n")
    assert path.read_bytes() == "ü\r\nb\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_content_and_no_draft(tmp_path):
    """What cannot be encoded replaces nothing."""
    path = tmp_path / "a.json"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "x" * 100_000 + "\udcff")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    """Nothing is made up."""
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "gone" / "a.json", "text")
