"""The pages of the viewer, as the server writes them."""

import json
import re

import pytest
from fastapi.testclient import TestClient

from pytest_lem.store.opening import open_store
from pytest_lem.store.place import parse_place
from pytest_lem.store.wanted import Wanted
from pytest_lem.web.application import application
from pytest_lem.web.guard import Guard
from tests.store.making import SPEED, cycle, report

HOSTILE = "t.py::<script>alert(1)</script>[\"'><img src=x onerror=alert(2)>]"


def text_of(answer):
    """What a reader sees of a page, roughly."""
    assert answer.status_code == 200, answer.text
    inside = answer.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", inside).split())


def data_of(answer):
    """What its scripts are given."""
    found = re.search(r'id="lem-data">(.*?)</script>', answer.text, re.DOTALL)
    return json.loads(found[1])


def test_the_first_page_lists_the_newest_records(client, keys):
    """With values and intervals, and links to each, its session and its labels."""
    answer = client.get("/")
    told = text_of(answer)
    assert "4 records" in told
    assert told.index("a 2026-01-03") < told.index("a 2026-01-01")
    assert "50.5 ± 6.4" in told
    assert f'href="/report?key={keys["one a"]}"' in answer.text
    assert "session=one" in answer.text
    assert "label=main" in answer.text


def test_a_list_is_narrowed_sorted_and_paged_by_its_address(client):
    """What was chosen stays chosen on the next page, and in the form."""
    answer = client.get(f"/?backend=fake&sort=-{SPEED}&limit=1&metric={SPEED}")
    assert "2 records with Output throughput" in text_of(answer)
    assert 'aria-sort="descending"' in answer.text
    assert '<option value="fake" selected>' in answer.text
    following = re.search(r'rel="next" href="([^"]+)"', answer.text)[1]
    assert "50.5" in text_of(client.get(following.replace("&amp;", "&") + "&limit=1"))
    assert "0 records" in text_of(client.get("/?text=nothing+like+it"))


def test_picked_records_are_a_report_with_their_details(client, keys):
    """The page that `lem report` writes, but that assets are fetched from here."""
    answer = client.get(f"/report?key={keys['one a']}&key={keys['three a']}")
    assert "2 records" in text_of(answer)
    assert len(data_of(answer)["anchors"]) == 2
    anchors = " ".join(data_of(answer)["anchors"])
    assert f'data-of="{anchors}"' in answer.text
    sources = re.findall(r'(?:src|href)="([^"#]+\.(?:js|css))"', answer.text)
    assert "/assets/plotly.min.js" in sources
    for one in sources:
        fetched = client.get(one)
        assert fetched.status_code == 200
        kind = fetched.headers["content-type"]
        assert kind.startswith("text/css" if one.endswith("css") else "text/javascript")
    assert "http" not in " ".join(sources)


def test_records_are_shown_side_by_side_with_ratios(client, keys):
    """With what differs, and a word where the work was not equal."""
    told = text_of(client.get(f"/compare?key={keys['one a']}&key={keys['three a']}"))
    assert (
        "Output throughput token/s 50.5 ± 6.4 100.5 ± 6.4 \N{MULTIPLICATION SIGN} 1.99"
        in told
    )
    assert "better" in told
    assert "unequal work" not in told
    told = text_of(client.get(f"/compare?key={keys['one a']}&key={keys['two b']}"))
    assert "Not the same work" in told
    assert "gpu[0].name GPU X GPU Y" in told


def test_a_trend_has_a_point_for_each_session_and_what_the_gate_allowed(tmp_path):
    """By records that were picked, or by identity."""
    store = open_store(parse_place(str(tmp_path / "results.db"), tmp_path), create=True)
    for day, speed in ((1, 50.0), (2, 40.0)):
        ran = [cycle(k, day=f"2026-01-0{day}", speed=speed) for k in range(2)]
        made = report(f"s{day}", cycles=ran, day=f"2026-01-0{day}")
        rule = {"metric": SPEED, "reference": [50.0, 50.0], "limit_pct": 10.0}
        judged = (
            {"gate": {"verdict": "regression", "rules": [rule]}} if day == 2 else {}
        )
        (one,) = made.experiments
        one = one.model_copy(update=judged)
        store.put(made.model_copy(update={"experiments": [one]}))
    client = TestClient(application(store, Guard()), base_url="http://127.0.0.1")
    key = store.find(Wanted(limit=1))[0].key
    points = client.get(f"/api/trends?identity=0123456789abcdef&metric={SPEED}").json()
    assert [one["value"] for one in points] == [50.5, 40.5]
    (bound,) = points[1]["bounds"]
    assert (bound["word"], bound["value"]) == ("limit", pytest.approx(45.0))
    answer = client.get(f"/trends?key={key}&metric={SPEED}")
    assert "40.5 ± 6.4 45 regression" in text_of(answer)
    (chart,) = data_of(answer)["charts"]
    assert [trace["y"] for trace in chart["data"]] == [
        [50.5, 40.5],
        [pytest.approx(45)],
    ]
    assert "measured in several sessions" in text_of(client.get(f"/trends?key={key}"))
    store.close()


def test_labels_lead_to_their_records(client):
    """With their counts."""
    answer = client.get("/labels")
    assert "main 1 1 2026-01-01" in text_of(answer)
    assert 'href="/?label=main"' in answer.text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/?sort=spede", 400, "order &#39;spede&#39; is unknown"),
        ("/?limit=0", 422, "limit: Input should be greater than or equal to 1"),
        ("/?%3Cscript%3E=1", 422, "&lt;script&gt;: "),
        ("/compare?key=ffffffff", 404, "no record begins with &#39;ffffffff&#39;"),
        ("/compare", 400, "a comparison is of two records or more"),
        ("/report?key=ffffffff", 404, "no records there that are wanted"),
        ("/trends", 400, "trends of what? tick records in the list first"),
        ("/assets/..%2Fguard.py", 404, "Not Found"),
        ("/nowhere", 404, "Not Found"),
    ],
)
def test_what_cannot_be_shown_is_told_on_a_page(client, path, status, said):
    """In one line."""
    answer = client.get(path)
    assert answer.status_code == status
    assert said in answer.text


def test_hostile_names_are_shown_as_text(tmp_path):
    """On every page that has names."""
    store = open_store(parse_place(str(tmp_path / "results.db"), tmp_path), create=True)
    for k in range(2):
        bad = f"<script>{k}</script>"
        made = report(bad, [HOSTILE], day=f"2026-01-0{k + 1}", model=bad, gpu=bad)
        store.put(made)
    found = [one.key for one in store.find(Wanted())]
    store.label(found, '"><script>l</script>')
    client = TestClient(application(store, Guard()), base_url="http://127.0.0.1")
    pair = f"key={found[0]}&key={found[1]}"
    paths = [f"/{page}?{pair}" for page in ("report", "compare")]
    for path in ("/", "/labels", *paths, f"/trends?{pair}&metric={SPEED}"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert not re.search(r"<script>|<img", answer.text)
        assert "&lt;script&gt;" in answer.text
    store.close()
