"""Which GPUs a worker gets, and the variables that say so."""

import re
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_lem
from pytest_lem.errors import ConfigError
from pytest_lem.worker import devices
from pytest_lem.worker.devices import environment_for, granted, inherited, select, share

MACHINE = [
    "GPU-aa000000-0000-0000-0000-000000000000",
    "GPU-ab000000-0000-0000-0000-000000000001",
    "GPU-bb000000-0000-0000-0000-000000000002",
    "GPU-cc000000-0000-0000-0000-000000000003",
]
INSTANCES = [f"MIG-{k}0000000-0000-0000-0000-00000000000{k}" for k in range(4)]
GHOST = "GPU-dd000000-0000-0000-0000-000000000009"


def chosen(preset=None, asked=None, machine=MACHINE, cpu_asked=False, **environ):
    """What is selected of GPUs of one model, with CUDA_VISIBLE_DEVICES preset."""
    if preset is not None:
        environ["CUDA_VISIBLE_DEVICES"] = preset
    alike = dict.fromkeys(machine, "H100")
    return select(alike, environ=environ, asked=asked, cpu_asked=cpu_asked)


def refused(*args, **kwargs):
    with pytest.raises(ConfigError) as error:
        chosen(*args, **kwargs)
    assert "\n" not in error.value.message
    return error.value.message


def test_the_environment_names_uuids_in_pci_order():
    """A worker gets exactly the GPUs named, by UUID, whatever CUDA would order."""
    uuids = f"{MACHINE[2]},{MACHINE[0]}"
    assert environment_for([MACHINE[2], MACHINE[0]]) == {
        "CUDA_VISIBLE_DEVICES": uuids,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "NVIDIA_VISIBLE_DEVICES": uuids,
        "HIP_VISIBLE_DEVICES": "-1",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    }


@pytest.mark.parametrize("none", [None, []])
def test_without_gpus_the_environment_hides_them_all(none):
    """The CPU is meant: no GPU is visible, of whichever maker, where there are some."""
    assert environment_for(none) == {
        "CUDA_VISIBLE_DEVICES": "",
        "NVIDIA_VISIBLE_DEVICES": "void",
        "HIP_VISIBLE_DEVICES": "-1",
    }
    assert devices.given(environment_for(none)) == []


def test_several_instances_of_mig_are_refused():
    """CUDA shows one process the first of them only; one for each rank is well."""
    assert environment_for(INSTANCES[1:2])["CUDA_VISIBLE_DEVICES"] == INSTANCES[1]
    with pytest.raises(ConfigError, match=r"one MIG instance, not 2 .* --lem-gpus"):
        environment_for(INSTANCES[:2])


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


@pytest.mark.parametrize(
    "preset", ["", "-1", "9", "NoDevFiles", "1,1", GHOST, "MIG-00", "GPU-aa,GPU-aa"]
)
def test_a_preset_that_hides_every_gpu_is_no_silent_cpu(preset):
    """A machine with GPUs and a run that may see none at all ends in a ConfigError."""
    assert f"CUDA_VISIBLE_DEVICES={preset} hides all 4 GPUs" in refused(preset)


def test_the_cpu_can_be_asked_for():
    """The CPU is used where asked for, or where there is nothing else."""
    assert chosen("", cpu_asked=True) == []
    assert chosen("0", cpu_asked=True, machine=[]) == []
    assert chosen(machine=[]) == []
    assert chosen("", machine=[], NVIDIA_VISIBLE_DEVICES="all") == []
    assert "together with the CPU" in refused(asked=["0"], cpu_asked=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CUDA_VISIBLE_DEVICES", "0"),
        ("CUDA_VISIBLE_DEVICES", INSTANCES[0]),
        ("NVIDIA_VISIBLE_DEVICES", "0,1"),
        ("HIP_VISIBLE_DEVICES", "1"),
        ("ROCR_VISIBLE_DEVICES", "GPU-0123456789abcdef"),
    ],
)
def test_a_gpu_that_was_meant_and_is_not_there_is_no_silent_cpu(name, value):
    """Whoever set the variable counts on a GPU, of whichever maker."""
    told = refused(machine=[], **{name: value})
    assert told.startswith(f"{name}={value} names a GPU, and no NVIDIA GPU is")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (GHOST, f"{GHOST} is not among the GPUs here"),
        (f"{MACHINE[0]},{GHOST}", f"{GHOST} is not among the GPUs here"),
        ("0", "NVML shows 4 GPUs"),
        ("0,1,2,3,4", "NVML shows 4 GPUs"),
    ],
)
def test_what_a_container_was_granted_agrees_with_what_nvml_shows(value, told):
    """Else the variable is of elsewhere, or the container sees more than it should."""
    message = refused(NVIDIA_VISIBLE_DEVICES=value)
    assert message.startswith(f"NVIDIA_VISIBLE_DEVICES={value}: {told}; ")
    assert "choose by CUDA_VISIBLE_DEVICES or --lem-gpus" in message


@pytest.mark.parametrize(
    "value", ["", "all", "void", "none", "4,5,6,7", "nvidia.com/x"]
)
def test_what_a_runtime_alone_understands_limits_nothing(value):
    """CDI says `void`, images say `all`, and indices are those of the host."""
    assert chosen(NVIDIA_VISIBLE_DEVICES=value) == MACHINE


def test_both_variables_together_leave_what_both_name():
    """Indices count within what the container was granted."""
    granted = ",".join(MACHINE[2:])
    assert chosen(NVIDIA_VISIBLE_DEVICES=granted) == MACHINE[2:]
    assert chosen("1", NVIDIA_VISIBLE_DEVICES=granted) == [MACHINE[3]]
    assert chosen(MACHINE[3], NVIDIA_VISIBLE_DEVICES=granted) == [MACHINE[3]]
    told = refused("2", NVIDIA_VISIBLE_DEVICES=granted)
    assert told.endswith("in a container indices begin anew)")
    assert "is hidden; visible are" in refused(
        asked=[MACHINE[0]], NVIDIA_VISIBLE_DEVICES=granted
    )


def test_indices_that_only_cuda_can_read_are_refused():
    """It counts the fastest first, unless told to count by bus; UUIDs are plain."""
    mixed = {MACHINE[0]: "T4", MACHINE[1]: "H100"}
    by_bus = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1"}
    assert select(mixed, environ=by_bus, asked=None) == MACHINE[1:2]
    for order in ({}, {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}):
        named = {**order, "CUDA_VISIBLE_DEVICES": MACHINE[1]}
        assert select(mixed, environ=named, asked=None) == MACHINE[1:2]
        with pytest.raises(ConfigError, match=r"fastest first .* \(T4, H100\); name"):
            select(mixed, environ={**order, "CUDA_VISIBLE_DEVICES": "1"}, asked=None)
    assert "an index is no MIG instance" in refused("0", machine=INSTANCES)


def test_asked_indices_count_within_the_preset():
    """`--lem-gpus 0` is the first visible GPU, not the first of the machine."""
    assert chosen("3,1", asked=["0"]) == [MACHINE[3]]
    assert chosen("3,1", asked=["1", "0"]) == [MACHINE[1], MACHINE[3]]
    assert chosen("3,1", asked=["GPU-ab"]) == [MACHINE[1]]


@pytest.mark.parametrize(
    ("preset", "asked", "told"),
    [
        ("3,1", ["2"], "'2' is no visible GPU"),
        ("3,1", [MACHINE[0]], "is hidden; visible are"),
        ("3,1", INSTANCES[:1], "is no visible GPU"),
        (None, ["0", MACHINE[0]], "names a GPU twice"),
        (None, ["GPU-a"], "'GPU-a' is no visible GPU"),
        (None, ["first"], "'first' is no visible GPU"),
        (None, ["-1"], "'-1' is no visible GPU"),
    ],
)
def test_a_wish_that_conflicts_is_told(preset, asked, told):
    """A wish outside the visible GPUs names itself and what there is."""
    message = refused(preset, asked=asked)
    assert told in message
    assert f"--lem-gpus {','.join(asked)}" in message
    assert preset is None or f"(CUDA_VISIBLE_DEVICES={preset})" in message


def test_a_wish_on_a_machine_without_gpus_is_told():
    """There is nothing to choose from."""
    assert "visible are none" in refused(asked=["0"], machine=[])


def some(of):
    """Subsets in any order, of at least one."""
    return st.permutations(of).flatmap(
        lambda order: st.integers(1, len(of)).map(lambda count: order[:count])
    )


@given(wanted=some(MACHINE), data=st.data())
def test_any_order_and_subset_maps_through_uuids(wanted, data):
    """Every spelling of a reordered subset gives the same UUIDs, in its order."""
    shorten = data.draw(st.sampled_from([6, 20, 40]))
    indices = [str(MACHINE.index(one)) for one in wanted]
    assert chosen(",".join(indices)) == wanted
    assert chosen(",".join(wanted)) == wanted
    assert chosen(",".join(uuid[:shorten] for uuid in wanted)) == wanted
    assert chosen(asked=indices) == wanted


@given(wanted=some(INSTANCES), data=st.data())
def test_mig_instances_in_any_order_map_through_their_uuids(wanted, data):
    """As whole GPUs do; an index that is asked for counts within what is visible."""
    preset = ",".join(wanted)
    assert chosen(preset, machine=INSTANCES) == wanted
    place = data.draw(st.integers(0, len(wanted) - 1))
    assert chosen(preset, [str(place)], machine=INSTANCES) == [wanted[place]]
    assert chosen(preset, [wanted[place]], machine=INSTANCES) == [wanted[place]]


def inside(machine, told):
    """What NVML shows in a container: what its runtime was told to let in, by bus."""
    let_in = told["NVIDIA_VISIBLE_DEVICES"].split(",")
    return [uuid for uuid in machine if uuid in let_in]


@given(visible=some(MACHINE), by_index=st.booleans(), data=st.data())
def test_host_container_worker_and_ranks_mean_the_same_gpus(visible, by_index, data):
    """Each link passes on the GPUs of the one before, in their order, and no other."""
    preset = [str(MACHINE.index(one)) if by_index else one for one in visible]
    host = {"CUDA_VISIBLE_DEVICES": ",".join(preset), "LOCAL_RANK": "3", "HOME": "/me"}
    asked = data.draw(some(range(len(visible))))
    run = chosen(asked=[str(k) for k in asked], **host)
    assert run == [visible[k] for k in asked]
    shown = inside(MACHINE, granted(run))
    assert sorted(shown) == sorted(run)
    container = {**granted(run), **environment_for(run)}
    assert chosen(machine=shown, **container) == run
    worker = {**inherited({**host, **container}), **environment_for(run)}
    assert devices.given(worker) == run
    assert "LOCAL_RANK" not in worker
    for place, gpu in enumerate(run):
        told = environment_for([gpu], place=(place, len(run)))
        rank = {**inherited(worker), **told}
        assert devices.given(rank) == chosen(machine=shown, **rank) == [gpu]
        assert (rank["RANK"], rank["LOCAL_RANK"]) == (str(place), "0")
        assert rank["HOME"] == "/me"


entries = st.sampled_from(
    ["", "0", "1", "2", "-1", "9", " 1", "x", *MACHINE[:3], "GPU-a", "GPU-aa", GHOST]
)
values = st.lists(entries, min_size=1, max_size=4).map(",".join) | st.sampled_from(
    [None, "all", "void", "none", *INSTANCES]
)


@given(
    cuda=values, nvidia=values, asked=st.lists(entries, max_size=3), here=some(MACHINE)
)
def test_any_values_give_gpus_of_this_machine_or_one_clear_line(
    cuda, nvidia, asked, here
):
    """Never a GPU that is not there, never one twice, never the CPU, never a crash."""
    environ = {"CUDA_VISIBLE_DEVICES": cuda, "NVIDIA_VISIBLE_DEVICES": nvidia}
    environ = {name: value for name, value in environ.items() if value is not None}
    told, found = "", []
    try:
        found = chosen(asked=asked or None, machine=here, **environ)
    except ConfigError as error:
        told = error.message
    assert bool(found) != bool(told)
    assert "\n" not in told
    assert {*found} <= {*here}
    assert len({*found}) == len(found)
    assert told or not asked or len(found) == len(asked)


@given(
    preset=st.lists(entries, min_size=1, max_size=4, unique_by=str.strip).map(",".join)
)
def test_torch_reads_presets_alike(preset):
    """Its own parser and ours see the same GPUs."""
    cuda = pytest.importorskip("torch.cuda")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", preset)
        theirs = cuda._parse_visible_devices()
    if theirs and isinstance(theirs[0], str):
        theirs = cuda._transform_uuid_to_ordinals(theirs, MACHINE)
    theirs = [*takewhile(lambda k: k < len(MACHINE), theirs)]
    if theirs:
        assert chosen(preset) == [MACHINE[k] for k in theirs]
    else:
        assert "hides all 4 GPUs" in refused(preset)


NAMES = "|".join(environment_for(MACHINE, place=(0, 2)))
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
    """One place computes what CUDA and ranks read; the package says it nowhere else."""
    root = Path(pytest_lem.__file__).parent
    files = [path for path in root.rglob("*.py") if SETS.search(path.read_text())]
    # The one place spells the names by constants.
    assert {str(path.relative_to(root)) for path in files} <= {"worker/devices.py"}


def test_sessions_side_by_side_have_no_gpu_in_common():
    """Each has as many as it needs, in the order asked for; too few are one line."""
    shares = [share(MACHINE, (k, 2), 2) for k in range(2)]
    assert shares == [MACHINE[:2], MACHINE[2:]]
    with pytest.raises(ConfigError) as caught:
        share(MACHINE, (0, 3), 2)
    assert caught.value.message.startswith("pytest -n 3 needs 6 GPUs, 2 for each")
    assert caught.value.message.endswith(": say -n 2")
