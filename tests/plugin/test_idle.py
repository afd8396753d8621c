"""Idle power from the user's side: settings, the report, and what is kept."""

import pytest

SOURCE = """
import pytest

@pytest.mark.lem(fake={"prefill_s": 0.25})
@pytest.mark.parametrize("output_tokens", [4, 5])
def test_it(lem, output_tokens):
    lem()
"""
QUICK = ("--lem-meter=fake:80", "--lem-idle=auto", "--lem-windows=5", "--lem-cycles=1")


@pytest.fixture
def measured(run, report, tmp_path, monkeypatch):
    """Run two experiments of one engine with these ini values; their cycles."""
    monkeypatch.setenv("LEM_CACHE_DIR", str(tmp_path / "cache"))

    def measured(*inis, passed=2):
        asked = [word for ini in ("lem_idle_seconds=1", *inis) for word in ("-o", ini)]
        run(SOURCE, *QUICK, *asked, "--lem-json=r.json").assert_outcomes(passed=passed)
        return [cycle for one in report().experiments for cycle in one.cycles]

    return measured


def test_the_report_tells_each_state_and_what_was_removed(measured):
    """States are read once for both experiments; the windows of each have an after."""
    first, second = measured()
    for cycle in (first, second):
        idle = cycle.idle
        powers_w = [one.power_w for one in idle.states.values()]
        assert powers_w == pytest.approx([80.0] * 3, rel=1e-3)
        assert (idle.state, idle.source) == ("model_loaded", "fresh")
        assert (idle.after.duration_s, idle.drift_pct) == (
            pytest.approx(1.0, abs=0.2),
            pytest.approx(0.0, abs=0.1),
        )
        assert cycle.windows[0].energy.idle_state == "model_loaded"
        assert cycle.windows[0].energy.idle_share == pytest.approx(1.0, abs=0.01)
        assert cycle.metrics["energy_net_j"] is not None
    ages_s = [cycle.idle.states["no_context"].age_s for cycle in (first, second)]
    assert ages_s[1] > ages_s[0] + 2.0


def test_another_state_is_subtracted_where_the_ini_says_so(measured):
    """`lem_idle_kind` names it, and each window repeats the name."""
    for cycle in measured("lem_idle_kind=no_context"):
        assert cycle.idle.state == "no_context"
        assert {w.energy.idle_state for w in cycle.windows} == {"no_context"}
        assert cycle.idle.after.state == "model_loaded"


def test_a_second_session_uses_what_the_first_one_kept(measured, tmp_path):
    """Flagged, at its age; expired it is read again."""
    fresh, shared = measured("lem_idle_strategy=cached")
    assert (fresh.idle.source, shared.idle.source) == ("fresh", "cached")
    assert "cached_idle" not in fresh.flags
    assert len(list((tmp_path / "cache" / "idle").iterdir())) == 3
    for cycle in measured("lem_idle_strategy=cached"):
        assert (cycle.idle.source, cycle.idle.after) == ("cached", None)
        assert "cached_idle" in cycle.flags
        assert cycle.idle.age_s > 1.0
        assert cycle.metrics["energy_net_j"] is not None
    checked, unchecked = measured("lem_idle_strategy=validated", "lem_idle_every=2")
    assert (checked.idle.source, unchecked.idle.source) == ("validated", "cached")
    expired, _ = measured("lem_idle_strategy=cached", "lem_idle_ttl=0.1")
    assert expired.idle.source == "fresh"


@pytest.mark.parametrize(
    ("ini", "told"),
    [
        ("lem_idle_seconds=121", "ini lem_idle_seconds='121' is not a number of at l*"),
        ("lem_idle_kind=bare", "ini lem_idle_kind='bare' is none of no_context, con*"),
        ("lem_idle_strategy=old", "ini lem_idle_strategy='old' is none of fresh, va*"),
        ("lem_idle_every=0", "ini lem_idle_every='0' is not a number of at least 1"),
        ("lem_idle_ttl=0", "ini lem_idle_ttl='0' is not a number above 0"),
        ("lem_idle_drift_limit=x", "ini lem_idle_drift_limit='x' is not a number*"),
        ("lem_idle_force=maybe", "ini lem_idle_force='maybe' is neither true nor*"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_runs(run, ini, told):
    """In one line, with what is valid."""
    run(SOURCE, "-o", ini).stderr.fnmatch_lines([f"ERROR: {told}"])
