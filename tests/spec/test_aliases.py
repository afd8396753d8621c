"""Older names: taken with a note, and the same experiment."""

import pytest

from pytest_lem.errors import ConfigError
from pytest_lem.spec.aliases import resolve
from pytest_lem.spec.catalogue import aliases
from pytest_lem.spec.experiment import MARKER_KEYS, identity, plan_experiment
from pytest_lem.spec.provenance import Layer


def at(path, tree):
    for name in path.split("."):
        tree = tree[name]
    return tree


def planned(*values):
    layers = [Layer(origin="ini", values={"backend": "vllm"})]
    layers += [Layer(origin="marker", values=one) for one in values]
    return plan_experiment("t", layers)


@pytest.mark.parametrize(("older", "path"), aliases().items())
def test_an_older_name_becomes_todays_with_a_note(older, path):
    """Wherever the older one stood, nothing of it is left."""
    tree = 7
    for name in reversed(older.split(".")):
        tree = {name: tree}
    used, problems = {}, []
    found = resolve(tree, used, problems)
    assert at(path, found) == 7
    assert (used, problems) == ({older: path}, [])
    with pytest.raises(KeyError):
        at(older, found)
    assert path.partition(".")[0] in MARKER_KEYS


def test_an_older_name_is_the_same_experiment():
    """Identity knows no words, only what they mean."""
    old = planned({"vllm": {"tp_size": 2}, "max_output_tokens": 9})
    new = planned({"vllm": {"tensor_parallel_size": 2}, "output_tokens": 9})
    assert (old.spec, old.workload) == (new.spec, new.workload)
    names = [identity(one.spec, one.workload, {}, None) for one in (old, new)]
    assert names[0] == names[1]
    assert (len(old.notes), new.notes) == (2, ())
    assert old.provenance == new.provenance


def test_an_older_name_that_is_nothing_to_the_backend_says_so():
    """A strategy of batching is no business of an engine that batches by itself."""
    (note,) = planned({"batching": {"strategy": "sorted_static"}}).notes
    assert str(note) == (
        "'batching.strategy' is the older name of 'transformers.batching.strategy', "
        "which vllm does not have"
    )
    assert note.path == "transformers.batching.strategy"


def test_both_names_with_different_values_are_an_error():
    """Nobody can know which was meant."""
    with pytest.raises(ConfigError, match=r"^max_output_tokens=5 and output_tokens=6"):
        planned({"max_output_tokens": 5, "output_tokens": 6})
    assert planned({"random_seed": 5, "seed": 5}).workload.seed == 5


def test_a_later_layer_wins_under_any_name():
    """An older name on the command line beats today's in the marker."""
    found = planned({"output_tokens": 6}, {"max_output_tokens": 5})
    assert found.workload.output_tokens == 5


def test_a_section_may_be_called_by_its_backends_alias():
    """`pytorch` is as good as `transformers`, and no older name."""
    found = planned({"pytorch": {"device": "cpu"}, "trt": {"max_loras": 1}})
    assert found.notes == ()
    assert "transformers.device" in found.provenance
    with pytest.raises(ConfigError, match=r"pytorch\.device='cpu' and transformers\."):
        planned({"pytorch": {"device": "cpu"}, "transformers": {"device": "cuda"}})


def test_what_is_given_is_left_as_it_is():
    """A marker's own dictionaries are not changed."""
    given = {"vllm": {"lora": {"max_rank": 8}}}
    resolve(given, {}, [])
    assert given == {"vllm": {"lora": {"max_rank": 8}}}
