"""Whether a node is like its driver, and what is said where it is not."""

from dataclasses import replace

from pytest_lem.cluster.handshake import Collected, hashes, unlike, versions
from pytest_lem.cluster.nodes import Node, Wishes

HERE = Collected(
    experiments={"t.py::a": "1f"}, files={"t.py": "00", "conftest.py": "11"}
)
NODE = Node(
    id="abcdef0123", host="n1", cpus=8, gpus=4, labels={"rack": "2"}, types=("H100",)
)


def test_a_difference_of_versions_names_both_sides():
    """An unknown one is as bad as another one."""
    there = versions().to_json() | {"python": "3.9.1"}
    del there["ray"]
    here = versions()
    assert list(unlike(here, there)) == [
        f"python 3.9.1, the driver has {here.python}",
        f"ray unknown, the driver has {here.ray}",
    ]
    assert not list(unlike(here, replace(here).to_json()))


def test_other_tests_or_files_are_named_and_more_of_them_do_not_matter():
    """Identities tell of settings that are not in the files that are hashed."""
    there = {"experiments": {"t.py::a": "2e", "t.py::b": "3"}, "files": {"t.py": "01"}}
    assert list(HERE.unlike(there)) == [
        "t.py is another than the driver's",
        "conftest.py is not there",
        "t.py::a is 2e there, the driver has 1f",
    ]
    assert not list(HERE.unlike(HERE.to_json()))


def test_files_are_told_with_the_conftest_files_above_them(tmp_path):
    """By their content, and by paths that hold on every machine."""
    below = tmp_path / "deep"
    below.mkdir()
    for path in (tmp_path / "conftest.py", below / "test_it.py"):
        path.write_text("pass")
    found = hashes([below / "test_it.py"], tmp_path)
    assert {*found} == {"conftest.py", "deep/test_it.py"}
    assert len({*found.values()}) == 1


def test_a_node_measures_what_it_has_the_gpus_type_and_label_for():
    """As often at once as it has GPUs for, and once where it is all taken."""
    assert NODE.unfit(Wishes(gpus=2, gpu_type="H100", labels={"rack": "2"})) is None
    assert NODE.unfit(Wishes(labels={"node": "n1"})) is None
    assert NODE.unfit(Wishes(gpu_type="A100")) == "its GPUs are H100"
    assert NODE.unfit(Wishes(labels={"rack": "3"})) == "it has not the label rack=3"
    assert NODE.unfit(Wishes(gpus=8)) == "it has 4 GPUs of 8"
    assert [NODE.seats(Wishes(gpus=n)) for n in (0, 1, 2, 3)] == [1, 4, 2, 1]
    whole = Wishes(gpus=1, exclusive=True)
    assert NODE.seats(whole) == 1
    assert NODE.resources(whole) == {"num_cpus": 8, "num_gpus": 4}
