"""Which GPUs a worker gets, and the variables that say so."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_lem
from pytest_lem.errors import ConfigError
from pytest_lem.worker.devices import environment_for, select

MACHINE = [
    "GPU-aa000000-0000-0000-0000-000000000000",
    "GPU-ab000000-0000-0000-0000-000000000001",
    "GPU-bb000000-0000-0000-0000-000000000002",
    "GPU-cc000000-0000-0000-0000-000000000003",
]
MIG = "MIG-11111111-2222-3333-4444-555555555555"


def chosen(preset=None, asked=None, machine=MACHINE, **more):
    environ = {} if preset is None else {"CUDA_VISIBLE_DEVICES": preset}
    return select(machine, environ=environ, asked=asked, **more)


def test_the_environment_names_uuids_in_pci_order():
    """A worker gets exactly the GPUs named, by UUID, whatever CUDA would order."""
    uuids = f"{MACHINE[2]},{MACHINE[0]}"
    assert environment_for([MACHINE[2], MACHINE[0]]) == {
        "CUDA_VISIBLE_DEVICES": uuids,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "NVIDIA_VISIBLE_DEVICES": uuids,
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    }


@pytest.mark.parametrize("none", [None, []])
def test_without_gpus_the_environment_hides_them_all(none):
    """The CPU is meant: no GPU is visible, even where there are some."""
    assert environment_for(none)["CUDA_VISIBLE_DEVICES"] == ""
    assert environment_for(none)["NVIDIA_VISIBLE_DEVICES"] == "void"


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("2,0", [2, 0]),
        (" 3 , 1 ", [3, 1]),
        (MACHINE[3], [3]),
        ("GPU-b,GPU-ab", [2, 1]),
        ("GPU-bb,GPU-a,GPU-cc", [2]),
        ("1,9,2", [1]),
        ("1,-1,2", [1]),
        ("1,GPU-bb", [1]),
        ("GPU-bb,1", [2]),
    ],
)
def test_a_preset_is_read_as_cuda_reads_it(preset, expected):
    """Indices, UUIDs and unique prefixes count, up to the first invalid entry."""
    assert chosen(preset) == [MACHINE[i] for i in expected]


def test_mig_uuids_are_kept_as_they_are():
    """A MIG device is no GPU of the list; its UUID passes verbatim."""
    assert chosen(MIG) == [MIG]
    assert chosen(MIG, asked=["0"]) == [MIG]
    assert chosen(MIG, asked=[MIG]) == [MIG]
    assert chosen(asked=[MIG]) == [MIG]


@pytest.mark.parametrize("preset", ["", "-1", "NoDevFiles", "7", "GPU-a", "0,0"])
def test_hidden_gpus_are_an_error_and_never_the_cpu(preset):
    """On a machine with GPUs, a variable that hides all ends in a ConfigError."""
    with pytest.raises(ConfigError, match="hides all 4 GPUs"):
        chosen(preset)


def test_the_cpu_can_be_asked_for():
    """The CPU is used where asked for, or where there is nothing else."""
    assert chosen("", cpu_asked=True) == []
    assert chosen(cpu_asked=True) == []
    assert chosen(machine=[]) == []
    assert chosen("", machine=[]) == []
    with pytest.raises(ConfigError, match="together with the CPU"):
        chosen(asked=["0"], cpu_asked=True)


def test_asked_indices_count_within_the_preset():
    """`--lem-gpus 0` is the first visible GPU, not the first of the machine."""
    assert chosen("3,1", asked=["0"]) == [MACHINE[3]]
    assert chosen("3,1", asked=["1", "0"]) == [MACHINE[1], MACHINE[3]]
    assert chosen("3,1", asked=["GPU-ab"]) == [MACHINE[1]]


@pytest.mark.parametrize(
    ("preset", "asked", "told"),
    [
        ("3,1", ["2"], "'2' is no visible GPU"),
        ("3,1", [MACHINE[0]], "is hidden by CUDA_VISIBLE_DEVICES"),
        ("3,1", [MIG], "is hidden by CUDA_VISIBLE_DEVICES"),
        (None, ["0", MACHINE[0]], "names a GPU twice"),
        (None, ["GPU-a"], "'GPU-a' is no visible GPU"),
        (None, ["first"], "'first' is no visible GPU"),
        (None, ["-1"], "'-1' is no visible GPU"),
    ],
)
def test_a_wish_that_conflicts_is_told(preset, asked, told):
    """A wish outside the visible GPUs names itself and what there is."""
    with pytest.raises(ConfigError) as error:
        chosen(preset, asked=asked)
    assert told in error.value.message
    assert f"--lem-gpus {','.join(asked)}" in error.value.message
    assert "\n" not in error.value.message


def test_a_wish_on_a_machine_without_gpus_is_told():
    """There is nothing to choose from."""
    with pytest.raises(ConfigError, match="visible are none"):
        chosen(asked=["0"], machine=[])


@given(order=st.permutations(range(4)), count=st.integers(1, 4), data=st.data())
def test_any_order_and_subset_maps_through_uuids(order, count, data):
    """Every spelling of a reordered subset gives the same UUIDs, in its order."""
    wanted = [MACHINE[i] for i in order[:count]]
    shorten = data.draw(st.sampled_from([6, 20, 40]))
    assert chosen(",".join(map(str, order[:count]))) == wanted
    assert chosen(",".join(wanted)) == wanted
    assert chosen(",".join(uuid[:shorten] for uuid in wanted)) == wanted
    assert chosen(asked=[str(i) for i in order[:count]]) == wanted
    environment = environment_for(wanted)
    assert select(MACHINE, environ=environment, asked=None) == wanted


@given(order=st.permutations(range(4)), count=st.integers(1, 4), data=st.data())
def test_mig_instances_in_any_order_map_through_their_uuids(order, count, data):
    """As whole GPUs do; an index that is asked for counts within what is visible."""
    instances = [f"MIG-{k}0000000-0000-0000-0000-00000000000{k}" for k in range(4)]
    wanted = [instances[i] for i in order[:count]]
    preset = ",".join(wanted)
    assert chosen(preset, machine=instances) == wanted
    place = data.draw(st.integers(0, count - 1))
    assert chosen(preset, [str(place)], machine=instances) == [wanted[place]]
    assert chosen(preset, [wanted[place]], machine=instances) == [wanted[place]]
    environment = environment_for(wanted)
    assert select(instances, environ=environment, asked=None) == wanted


NAMES = "|".join(environment_for(MACHINE))
SETS = re.compile(
    rf"""['"]({NAMES})['"]\s*(:|\]\s*=(?!=))|(setdefault|putenv)\(\s*['"]({NAMES})"""
)


@pytest.mark.parametrize(
    ("line", "sets"),
    [
        ('os.environ["CUDA_VISIBLE_DEVICES"] = "0"', True),
        ('{"NVIDIA_VISIBLE_DEVICES": uuids}', True),
        ("os.environ.setdefault('CUDA_DEVICE_ORDER', 'PCI_BUS_ID')", True),
        ('os.environ.get("CUDA_VISIBLE_DEVICES", "")', False),
        ('environ["CUDA_VISIBLE_DEVICES"] == ""', False),
    ],
)
def test_setting_is_told_from_reading(line, sets):
    """The search below finds what sets a variable, and only that."""
    assert bool(SETS.search(line)) is sets


def test_no_other_file_sets_these_variables():
    """One place computes what CUDA reads; the rest of the package only reads it."""
    root = Path(pytest_lem.__file__).parent
    files = [path for path in root.rglob("*.py") if SETS.search(path.read_text())]
    assert {str(path.relative_to(root)) for path in files} == {"worker/devices.py"}
