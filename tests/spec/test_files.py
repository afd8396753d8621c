"""YAML files: what is refused before it is looked at, and who says what."""

import time
from itertools import pairwise

import pytest
import yaml

from pytest_lem.errors import ConfigError
from pytest_lem.spec.files.campaign import read_campaign
from pytest_lem.spec.files.described import Backends
from pytest_lem.spec.files.inherit import Root, sources
from pytest_lem.spec.files.names import universal
from pytest_lem.spec.files.reading import Limits, read
from pytest_lem.spec.files.writing import written
from pytest_lem.spec.nearest import unknown
from pytest_lem.spec.provenance import merge

NAMES = ("fake", "tensorrt", "transformers", "vllm")
ALIASES = {"pytorch": "transformers", "trt": "tensorrt"}


def levels(text, count=9):
    """Lines of which each has the one before nine times."""
    names = [f"a{k}" for k in range(count)]
    lines = [f"a0: &a0 {text}"]
    for last, name in pairwise(names):
        nine = ", ".join([f"*{last}"] * 9)
        inner = f"[{nine}]" if text == "[x]" else f"{{<<: [{nine}]}}"
        lines.append(f"{name}: &{name} {inner}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "x" * 10_000_000, "has 10000003 bytes; lem_max_config_bytes allows"),
        ("a: " + "[" * 10_000 + "]" * 10_000, "is nested deeper than 40 levels"),
        ("a: " + "{b: " * 10_000 + "}" * 10_000, "is nested deeper than 40 levels"),
        (levels("[x]"), "has more than 100000 values, aliases written out"),
        (levels("{x: 1}"), "has more than 100000 values, aliases written out"),
        ("a: &a [*a, *a]", "is nested deeper than 40 levels"),
        ("a: 1\nb: {c: 1, c: 2}", "has key 'c' twice, again in line 2"),
        ("a: !!python/object/apply:os.system [ls]", "is no YAML: could not determine"),
        ("a: [1", "is no YAML: *"),
        ("a: \x01", "is no YAML: unacceptable character"),
        ("a: " + "9" * 5000, "is no YAML: Exceeds the limit"),
        ("- 1", "is no mapping of keys"),
        ("", "is empty"),
        ("1: 2", "key 1 is no text"),
    ],
    ids=lambda one: one[:12],
)
def test_a_file_that_does_harm_is_refused_in_one_line(tmp_path, text, reason):
    """Whatever it would grow to; nothing of it is made before."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    before_s = time.process_time()
    with pytest.raises(ConfigError) as error:
        read(path, Limits())
    assert time.process_time() - before_s < 1
    assert error.value.message.startswith(reason.rstrip("*"))
    assert "\n" not in error.value.message


def test_aliases_and_merge_keys_are_taken_within_the_limits(tmp_path):
    """They are a way to say things once."""
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {b: 1, c: {0: 3GB}}\nd: {<<: *a, b: 2}\n")
    assert read(path, Limits())["d"] == {"b": 2, "c": {0: "3GB"}}


@pytest.fixture
def folder(tmp_path):
    """A root, and a way to write files below it by name."""
    root = Root(folder=tmp_path / "root")
    root.folder.mkdir()

    def write(**files):
        for name, content in files.items():
            path = root.folder / f"{name}.yaml"
            path.write_text(content if isinstance(content, str) else dump(content))
        return root.folder / f"{next(iter(files))}.yaml"

    write.root = root
    return write


def dump(content):
    """YAML with the keys in their order."""
    return yaml.safe_dump(content, sort_keys=False)


def names_of(path, root):
    return [one.name.removesuffix(".yaml") for one in sources(path, root)]


def test_files_extend_each_other_in_chains_and_diamonds(folder):
    """What several extend counts once, below them: none undoes another's change."""
    path = folder(
        a={"extends": ["b", "c"], "own": 1},
        b={"_extends": "d.yaml", "x": "b"},
        c={"extends": "d.yaml"},
        d={"x": "d", "y": {"k": "d", "l": "d"}, "z": [1, 2]},
        e={"extends": "a.yaml", "y": {"k": "e"}, "z": [3]},
    )
    text = path.read_text().replace("- b", "- b.yaml").replace("- c", "- c.yaml")
    path.write_text(text)
    assert names_of(path, folder.root) == ["d", "b", "c", "a"]
    found = sources(folder.root.folder / "e.yaml", folder.root)
    values = {}
    for one in found:
        values |= one.values
    assert values["x"] == "b"


def test_files_that_an_experiment_names_lie_beside_the_file_that_says_so(folder):
    """Whichever file extends that."""
    (folder.root.folder / "in").mkdir()
    path = folder(a={"extends": "in/b.yaml", "seed": 1})
    base = {"prompts": "p.txt", "prompt_options": {"chat_template": "../t.jinja"}}
    (folder.root.folder / "in" / "b.yaml").write_text(dump(base))
    (point,) = points(path, folder.root)
    values = merge(point.layers)[0]
    assert values["prompts"] == "in/p.txt"
    assert values["prompt_options"] == {"chat_template": "t.jinja"}


def test_a_circle_is_shown_as_a_chain(folder):
    """From the file that was asked for, around to where it closes."""
    path = folder(a="extends: b.yaml", b="extends: c.yaml", c="extends: ./b.yaml")
    with pytest.raises(ConfigError) as error:
        sources(path, folder.root)
    assert error.value.message == (
        "a.yaml: extends in a circle: a.yaml -> b.yaml -> c.yaml -> b.yaml"
    )


@pytest.mark.parametrize("there", ["../../etc/passwd", "/etc/passwd", "../b.yaml"])
def test_no_file_outside_of_the_root_is_read(folder, there):
    """Unless that is allowed; the name alone is looked at."""
    path = folder(a={"extends": there})
    with pytest.raises(ConfigError, match=r"a\.yaml: extends=.* lies outside of /"):
        sources(path, folder.root)


@pytest.mark.parametrize(
    "content",
    [
        {"prompts": "../p.txt"},
        {"arrivals": {"mode": "trace", "file": "/etc/passwd"}},
        {"base_config": {"output_lengths": "file:../l.csv"}},
        {"base_config": {}, "vary": {"prompts": ["p.txt", "../p.txt"]}},
    ],
)
def test_no_other_file_outside_of_the_root_is_named(folder, content):
    """Prompts, times and lengths are held to the same."""
    path = folder(a=content)
    with pytest.raises(ConfigError, match=r"^a\.yaml: .*=.* lies outside of /"):
        points(path, folder.root)
    anywhere = Root(folder=folder.root.folder, anywhere=True)
    assert points(path, anywhere)


def test_a_link_out_of_the_root_is_refused_and_may_be_allowed(folder):
    """Where it leads counts, and not where it lies."""
    (folder.root.folder.parent / "out.yaml").write_text("x: 1")
    (folder.root.folder / "in.yaml").symlink_to("../out.yaml")
    path = folder(a="extends: in.yaml")
    with pytest.raises(ConfigError, match="lies outside of"):
        sources(path, folder.root)
    anywhere = Root(folder=folder.root.folder, anywhere=True)
    assert len(sources(path, anywhere)) == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"model": "o/m"}, {"model": "o/m"}),
        ({"model_name": "o/m"}, {"model": "o/m"}),
        (
            {"model": {"name": "o/m", "fp_precision": "fp16", "revision": "r"}},
            {"model": "o/m", "precision": "fp16", "revision": "r"},
        ),
        (
            {"max_input_tokens": 1, "max_output_tokens": 2, "num_input_prompts": 3},
            {"input_tokens": 1, "output_tokens": 2, "requests": 3},
        ),
        ({"random_seed": 4, "config_name": "n"}, {"seed": 4, "config_name": "n"}),
        (
            {"batching": {"strategy": "sorted_static", "batch_size": 4}},
            {
                "batch_size": 4,
                "transformers": {"batching": {"strategy": "sorted_static"}},
            },
        ),
        ({"traffic_simulation": {"enabled": False, "target_qps": 2.0}}, {}),
        (
            {"traffic_simulation": {"enabled": True, "mode": "poisson"}},
            {"arrivals": {"mode": "poisson"}},
        ),
        ({"force_cold_start": False}, {}),
        ({"force_cold_start": True}, {"cold_start": True}),
        (
            {"pytorch": {"extra": {"generate": {"x": 1}}}},
            {"transformers": {"extra": {"generate": {"x": 1}}}},
        ),
        ({"trt": {"max_loras": 1}}, {"tensorrt": {"max_loras": 1}}),
    ],
)
def test_the_names_of_experiment_files_are_a_marker_s(given, expected):
    """Flat and nested ones."""
    assert universal(given, NAMES) == expected


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"modle": 1}, "key 'modle' is unknown; did you mean 'model'?"),
        ({"model": {"nam": 1}}, "key 'model.nam' is unknown; did you mean 'model.name"),
        ({"decoder": {"topp": 1}}, "key 'decoder.topp' is unknown; did you mean "),
        ({"vllm": {"max_num_seq": 1}}, "did you mean 'vllm.max_num_seqs'?"),
        (
            {"vllm": {"compilation_config": {"modus": 1}}},
            "key 'vllm.compilation_config.modus' is unknown; did you mean ",
        ),
        ({"sharding": {"strategy": "tp"}}, "key 'sharding' is gone: each engine has"),
        ({"force_cold_start": True, "cold_start": False}, "are one"),
        ({"model": {"name": "a"}, "model_name": "b"}, "are one parameter: give one"),
        ({"traffic_simulation": {"enabled": 3}}, "traffic_simulation.enabled=3 is no"),
    ],
)
def test_a_key_that_cannot_be_is_named_at_every_level(given, line):
    """With the nearest, or what is to be done instead."""
    with pytest.raises(ConfigError) as error:
        universal(given, NAMES)
    assert line in error.value.message
    assert "\n" not in error.value.message


def find(name):
    """The backend of a name, as a registry finds it."""
    found = ALIASES.get(name, name)
    if found not in NAMES:
        raise ConfigError(unknown("backend", name, NAMES))
    return found


def points(path, root, *asked):
    backends = Backends(names=NAMES, asked=asked or ("fake",), find=find)
    return list(read_campaign(path, root, backends).points)


def test_a_grid_crosses_only_what_each_backend_has(folder):
    """2 backends x 3 batch sizes make 6; a section's values multiply its own alone."""
    vary = {"backend": ["pytorch", "vllm"], "batching": {"batch_size": [1, 4, 8]}}
    base = {"model": {"name": "o/m", "fp_precision": "fp16"}, "max_output_tokens": 8}
    path = folder(c={"base_config": base, "vary": vary})
    six = points(path, folder.root)
    assert [one.name for one in six][2:4] == [
        "backend=pytorch-batching.batch_size=8",
        "backend=vllm-batching.batch_size=1",
    ]
    assert [one.backend for one in six] == ["transformers"] * 3 + ["vllm"] * 3
    values, origins = merge(six[0].layers)
    assert values == {
        "model": "o/m",
        "precision": "fp16",
        "output_tokens": 8,
        "batch_size": 1,
    }
    assert {*origins.values()} == {"file c.yaml"}
    vary["vllm"] = {"max_num_seqs": [16, 32]}
    path = folder(c={"base_config": base, "vary": vary})
    found = points(path, folder.root)
    assert len(found) == 3 + 3 * 2
    assert found[-1].name == ("backend=vllm-batching.batch_size=8-vllm.max_num_seqs=32")


def test_configs_and_a_grid_are_joined_to_a_union(folder):
    """What both have is one experiment, under the name that the list gives it."""
    path = folder(
        c={
            "cycles": 5,
            "configs": ["one.yaml", {"backend": "fake", "batch_size": 2}],
            "base_config": {"backend": "fake"},
            "vary": {"batch_size": [1, 2, 3]},
        },
        one={"config_name": "named", "backend": "fake", "batch_size": 1, "cycles": 2},
    )
    found = points(path, folder.root)
    names = ["named", "config1", "batch_size=1", "batch_size=3"]
    assert [one.name for one in found] == names
    cycles = [merge(one.layers)[0]["cycles"] for one in found]
    assert cycles == [2, 5, 5, 5]
    assert [one.of_grid for one in found] == [False, False, True, True]


def test_values_that_are_long_or_nested_are_numbered_in_names(folder):
    """Names stay readable, and differ."""
    decoders = [{"top_k": 1, "do_sample": True}, {"top_k": 2}]
    vary = {"decoder": decoders, "adapter": [None, "a::b"]}
    path = folder(c={"base_config": {}, "vary": vary})
    names = [one.name for one in points(path, folder.root)]
    assert names[0] == "decoder=top_k:1,do_sample:true-adapter=0[fake]"
    assert len({*names}) == 4


def test_each_value_by_itself_is_one_change_to_the_base(folder):
    """The base first, then as many points as there are values."""
    vary = {"batch_size": [2, 4], "vllm": {"max_num_seqs": [1]}, "seed": [7]}
    path = folder(c={"base_config": {"config_name": "b"}, "vary_alone": vary})
    found = points(path, folder.root, "fake", "vllm")
    assert [one.name for one in found if one.backend == "vllm"] == [
        "b[vllm]",
        "b-batch_size=2[vllm]",
        "b-batch_size=4[vllm]",
        "b-vllm.max_num_seqs=1[vllm]",
        "b-seed=7[vllm]",
    ]
    assert len(found) == 5 + 4


def test_a_large_grid_is_expanded_as_it_is_taken(folder):
    """A million points cost nothing before they are asked for."""
    vary = {key: list(range(1, 101)) for key in ("batch_size", "seed", "requests")}
    path = folder(c={"base_config": {}, "vary": vary})
    backends = Backends(names=NAMES, asked=("fake",), find=find)
    found = read_campaign(path, folder.root, backends).points
    assert next(found).name == "batch_size=1-seed=1-requests=1[fake]"


def test_a_point_written_to_a_file_asks_for_the_same(folder):
    """Files that it names are found from there, and lie where they lay."""
    arrivals = {"mode": "trace", "file": "times.csv"}
    base = {"prompts": "p.txt", "arrivals": arrivals, "output_lengths": "file:l.csv"}
    path = folder(c={"base_config": base, "vary": {"backend": ["fake"], "seed": [7]}})
    (point,) = points(path, folder.root)
    to = folder.root.folder / "out"
    to.mkdir()
    (to / "x.yaml").write_text(written(point, beside=path.parent, to=to))
    (again,) = points(to / "x.yaml", folder.root)
    assert (again.name, again.backend) == ("backend=fake-seed=7", "fake")
    assert merge(again.layers)[0] == {
        "prompts": "../p.txt",
        "arrivals": {"mode": "trace", "file": "../times.csv"},
        "output_lengths": "file:../l.csv",
        "seed": 7,
    }


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"configs": []}, "c.yaml: has neither configs nor base_config"),
        ({"configs": "x"}, "c.yaml: configs='x' is no list of files"),
        ({"configs": ["x.yaml"]}, "x.yaml: cannot be read: No such file"),
        (
            {"configs": [{}, {}], "cycle": 1},
            "key 'cycle' is unknown; did you mean 'cyc",
        ),
        ({"configs": [{"config_name": "a"}] * 2}, "2 configs are called 'a'"),
        ({"base_config": {"backend": "vlm"}}, "backend 'vlm' is unknown; did you mean"),
        ({"base_config": {}, "vary": {"seed": 3}}, "in vary: seed=3 is no list"),
        ({"base_config": {}, "vary": {"sed": [3]}}, "in vary: key 'sed' is unknown"),
        ({"base_config": {}, "vary": [1]}, "vary=[1] is no mapping of keys"),
        ({"configs": [{"config_name": "a::b"}]}, "config_name='a::b' is no name"),
    ],
)
def test_what_is_wrong_with_a_campaign_is_said_with_file_and_key(folder, content, line):
    """A line for each."""
    path = folder(c=content)
    with pytest.raises(ConfigError) as error:
        points(path, folder.root)
    assert line in error.value.message
