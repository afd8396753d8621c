"""What the viewer of a store answers as JSON."""

import gzip

import pytest

from pytest_lem.records.record import Record
from tests.store.making import SPEED, report


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["three a", "two c", "two b", "one a"]),
        ("text=VLLM", ["two c", "two b"]),
        ("text=three+t.py::a", ["three a"]),
        ("text=bbbb", ["two c", "two b"]),
        ("text=50%25", []),
        ("backend=vllm&model=", ["two c", "two b"]),
        ("gpu=GPU+X", ["three a", "one a"]),
        ("session=one", ["one a"]),
        ("flag=few_cycles&since=2026-01-03", ["three a"]),
        ("flag=few", []),
        ("verdict=pass", []),
        ("label=main", ["one a"]),
        ("identity=0123&sort=started_at", ["one a", "three a"]),
        (f"sort=-{SPEED}&limit=1", ["three a"]),
        (f"sort={SPEED}&backend=fake", ["one a", "three a"]),
        ("sort=experiment_id&until=2026-01-02", ["one a", "two b", "two c"]),
    ],
)
def test_records_are_found_and_ordered(client, query, found):
    """By what `lem results` chooses them by, and by words and flags."""
    listed = client.get(f"/api/records?{query}").json()["records"]
    told = [
        f"{one['session']} {one['experiment_id'].removeprefix('t.py::')}"
        for one in listed
    ]
    assert told == found


@pytest.mark.parametrize("sort", ["started_at", "-experiment_id", SPEED, f"-{SPEED}"])
def test_pages_follow_each_other_and_miss_nothing(client, sort):
    """Each begins after the last record of the one before, equal values or not."""
    after, keys, counts = "", [], set()
    while after is not None:
        page = client.get(f"/api/records?sort={sort}&limit=1&after={after}").json()
        keys += [one["key"] for one in page["records"]]
        counts.add(page["count"])
        after = page["after"]
    whole = client.get(f"/api/records?sort={sort}").json()
    assert keys == [one["key"] for one in whole["records"]]
    assert counts == {len(keys)} == {4}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("records?modle=x", 422, "modle"),
        ("records?limit=1000", 422, "less than or equal to 200"),
        ("records?sort=spede", 400, "order 'spede' is unknown"),
        ("records?metric=spede", 400, "metric 'spede' is unknown"),
        ("records?since=soon", 400, "'soon' is no date: write 2026-01-31"),
        ("records?after=abc", 400, "no place in a list that is sorted so"),
        (f"records?sort={SPEED}&after=WyJhIiwgMV0", 400, "no place in a list"),
        ("records/ffffffff", 404, "no record begins with 'ffffffff'"),
        ("records/ffffffff/more", 404, "Not Found"),
        ("compare?key=ffffffff", 422, "at least 2 items"),
    ],
)
def test_what_cannot_be_answered_is_told(client, path, status, said):
    """With the word that is wrong, and what would be right."""
    answer = client.get(f"/api/{path}")
    assert answer.status_code == status
    assert said in answer.text


def test_a_record_comes_as_a_report(client, keys):
    """As it was put in."""
    answer = client.get(f"/api/records/{keys['one a'][:8]}")
    assert Record.model_validate_json(answer.content) == report("one", ["t.py::a"])


def test_records_are_held_against_the_first(client, keys):
    """With intervals, and with what differs; of unequal work that is told."""
    pair = f"key={keys['one a']}&key={keys['three a']}"
    (found,) = client.get(f"/api/compare?{pair}&metric={SPEED}").json()
    assert found["key"] == keys["three a"]
    ratio = found["ratios"][SPEED]
    assert ratio["low"] < ratio["value"] == pytest.approx(1.99, abs=0.01)
    assert found["unequal"] == {}
    pair = f"key={keys['one a']}&key={keys['two b']}"
    (found,) = client.get(f"/api/compare?{pair}&metric={SPEED}").json()
    assert "backend 'fake' and 'vllm'" in found["unequal"][SPEED]
    gpu = {"group": "machine", "key": "gpu[0].name"}
    assert {**gpu, "first": "GPU X", "second": "GPU Y"} in found["apart"]
    same = f"key={keys['one a']}&key={keys['one a']}"
    assert "two records or more" in client.get(f"/api/compare?{same}").text


def test_what_can_be_chosen_by_is_told(client):
    """The values that there are, and labels with their counts."""
    choices = client.get("/api/choices").json()
    assert choices["backends"] == ["fake", "vllm"]
    assert choices["gpus"] == ["GPU X", "GPU Y"]
    assert {"few_cycles"} <= set(choices["flags"])
    (label,) = client.get("/api/labels").json()
    assert (label["label"], label["records"]) == ("main", 1)


def test_an_answer_that_is_known_is_not_sent_again(client):
    """By its content's tag; what changed is sent."""
    first = client.get("/api/records", headers={"Accept-Encoding": "identity"})
    tag = first.headers["etag"]
    again = client.get("/api/records", headers={"If-None-Match": f'"x", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    other = client.get("/api/records?limit=1", headers={"If-None-Match": tag})
    assert other.status_code == 200
    assert client.head("/api/records").content == b""
    assert client.head("/api/records").headers["etag"] == tag


def test_answers_are_packed_for_those_who_unpack(client):
    """By gzip, and say so."""
    with client.stream("GET", "/api/records") as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert b'"records"' in gzip.decompress(packed)


def test_the_api_describes_itself(client):
    """As OpenAPI, with no page that would ask for scripts of elsewhere."""
    told = client.get("/api/openapi.json").json()
    assert {"/api/records", "/api/compare", "/api/labels"} <= set(told["paths"])
    assert all(set(one) == {"get"} for one in told["paths"].values())
    assert client.get("/docs").status_code == 404
