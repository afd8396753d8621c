"""Who may ask the viewer, by which name, and for what."""

import pytest
from fastapi.testclient import TestClient

from pytest_lem.errors import ConfigError
from pytest_lem.web.application import application
from pytest_lem.web.guard import COOKIE, Guard, check_token

TOKEN = "0123456789abcdef+/="


@pytest.fixture
def shared(store):
    """The viewer of a team, with a token and a name."""
    guard = Guard(names={"lab"}, token=TOKEN)
    return TestClient(application(store, guard), base_url="http://lab:8300")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8300", 200),
        ("127.0.0.1", 200),
        ("[::1]:8300", 200),
        ("192.168.0.7:8300", 200),
        ("evil.example:8300", 421),
        ("localhost.evil.example", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_only_addresses_and_known_names_are_answered(client, host, status):
    """A name of elsewhere that leads here is a trick on a browser."""
    answer = client.get("/api/labels", headers={"Host": host})
    assert answer.status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_is_written(client, method):
    """Whatever the address."""
    answer = client.request(method, "/api/records")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/api/labels", "/nowhere", "/api/openapi.json"])
def test_without_the_token_there_is_nothing(shared, path):
    """Not even what is not there."""
    wrong = [{}, {"Authorization": "Bearer x"}, {"Cookie": f"{COOKIE}=x"}]
    wrong.append({"Cookie": f"{COOKIE}=0123456789abcdef"})
    for headers in wrong:
        assert shared.get(path, headers=headers).status_code == 401
    assert shared.get(path, params={"token": "x"}).status_code == 401


def test_the_token_goes_in_a_header(shared):
    """For programs; nothing is kept."""
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    answer = shared.get("/api/labels", headers=bearer)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


def test_a_browser_keeps_the_token_of_its_first_visit(shared):
    """Where no script reads it, and no page of elsewhere sends it; not itself."""
    first = shared.get("/api/records", params={"token": TOKEN, "limit": 1})
    assert first.status_code == 200
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert shared.get("/api/labels").status_code == 200


def test_what_browsers_may_do_is_little(client):
    """Of refusals too."""
    for headers in ({}, {"Host": "evil.example"}):
        told = client.get("/api/labels", headers=headers).headers
        assert "default-src 'none'" in told["content-security-policy"]
        assert told["x-content-type-options"] == "nosniff"
        assert told["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in told


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "::", "lab.example"])
def test_others_reach_it_only_with_a_token(host):
    """Which nobody guesses."""
    with pytest.raises(ConfigError, match="set a token, LEM_TOKEN or --token"):
        check_token(host, None)
    for bad in ("short", "with spaces in between it"):
        with pytest.raises(ConfigError, match="a token has 16 letters, digits or more"):
            check_token(host, bad)
    check_token(host, TOKEN)
    for here in ("127.0.0.1", "::1", "localhost"):
        check_token(here, None)
