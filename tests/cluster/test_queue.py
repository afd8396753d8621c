"""Which task goes where: plan order, homes, engines, losses."""

from dataclasses import replace

import pytest

from pytest_lem.cluster.queue import Queue, Task

PLACES = ("a", "b", "c")


def plan(experiments, cycles, engines=1):
    """The tasks of an interleaved plan, experiments of one engine side by side."""
    names = [f"t{k:02}" for k in range(experiments)]
    each = -(-experiments // engines)
    steps = [(name, k) for k in range(cycles) for name in names]
    return [
        Task(
            at=at,
            name=name,
            cycle=k,
            last=k == cycles - 1,
            engine=f"e{int(name[1:]) // each}",
        )
        for at, (name, k) in enumerate(steps)
    ]


def drain(queue, places=PLACES):
    """What each place ran, all of them taking a task in turn."""
    ran = {place: [] for place in places}
    while queue.left:
        tasks = [(place, queue.take(place)) for place in places]
        assert any(task for _, task in tasks)
        for place, task in tasks:
            if task is not None:
                ran[place].append(task)
                queue.done(task)
    return ran


def test_each_task_runs_once_and_each_experiment_in_one_place():
    """Cycles of an experiment follow each other where its first one ran."""
    tasks = plan(10, 3)
    ran = drain(Queue(tasks))
    assert sorted(t.at for some in ran.values() for t in some) == [t.at for t in tasks]
    homes = [{task.name for task in some} for some in ran.values()]
    assert len(set.union(*homes)) == sum(map(len, homes))


def test_passes_are_outermost_in_each_place():
    """No place begins a pass before it has ended the one before."""
    for some in drain(Queue(plan(10, 3))).values():
        assert [task.at for task in some] == sorted(task.at for task in some)


def test_an_engine_is_loaded_by_as_few_places_as_there_is_work_for():
    """Places divide the engines among each other before they share one."""
    ran = drain(Queue(plan(9, 1, engines=3)))
    assert [{task.engine for task in some} for some in ran.values()] == [
        {"e0"},
        {"e1"},
        {"e2"},
    ]


def test_what_came_to_nothing_is_handed_out_again_at_its_home_first():
    """A place that comes back goes on; nobody else gets it meanwhile."""
    queue = Queue(plan(1, 2))
    task = queue.take("a")
    queue.back(task)
    assert queue.take("b") is None
    assert queue.take("a") == task


def test_a_place_that_is_gone_leaves_its_experiments_to_others():
    """Whoever knows that cycles have been measured there has all of them run again."""
    tasks = plan(2, 2)
    queue = Queue(tasks)
    first = queue.take("a")
    queue.done(first)
    assert queue.keep(["b", "c"]) == ["t00"]
    queue.again("t00", [task for task in tasks if task.name == "t00"])
    ran = drain(queue, ["b"])["b"]
    assert [(task.name, task.cycle) for task in ran] == [
        ("t00", 0),
        ("t01", 0),
        ("t00", 1),
        ("t01", 1),
    ]


@pytest.mark.parametrize("place", ["a", "b"])
def test_an_experiment_of_an_earlier_session_stays_where_it_began(place):
    """Its cycles are bound before anything is handed out."""
    queue = Queue(plan(1, 1))
    queue.bind("t00", "a")
    assert (queue.take(place) is not None) == (place == "a")
    assert queue.keep(["a"]) == []
    assert queue.keep(["b"]) == ["t00"]


def test_an_experiment_that_has_ended_has_no_more_tasks():
    """Though cycles of it were planned."""
    queue = Queue(plan(1, 3))
    queue.take("a")
    queue.end("t00")
    assert not queue.left
    assert queue.following("a") is None


class Racks:
    """Places of two racks, "1a" and so on; a rack is a home where cycles may move."""

    def __init__(self, *, pooled=False):
        self.pooled = pooled

    def home(self, place):
        """The rack, or the place itself."""
        return place[0] if self.pooled else place

    def fits(self, place, wants):
        """By the rack."""
        return wants in ("", place[0])


def wanting(tasks, racks):
    """The same tasks, where each name wants one of the racks in turn."""
    return [replace(one, wants=racks[int(one.name[1:]) % len(racks)]) for one in tasks]


@pytest.mark.parametrize("pooled", [True, False])
def test_a_place_is_handed_only_what_may_run_there(pooled):
    """Whether or not cycles may move; what wants nothing goes anywhere."""
    tasks = wanting(plan(9, 3, engines=2), ["1", "2", ""])
    ran = drain(Queue(tasks, Racks(pooled=pooled)), ["1a", "1b", "2a"])
    assert sum(map(len, ran.values())) == 27
    for place, some in ran.items():
        assert {task.wants for task in some} <= {"", place[0]}


def test_what_no_place_fits_waits_and_is_told_by_what_it_wants():
    """Also its first task, by which it can be given up."""
    tasks = wanting(plan(2, 2), ["1", "3"])
    queue = Queue(tasks, Racks())
    for _ in range(2):
        queue.done(queue.take("1a"))
    assert queue.take("1a") is None
    assert queue.homeless == {"3": [tasks[1]]}
    queue.end("t01")
    assert not queue.left


def test_cycles_that_may_move_go_to_whoever_is_free_of_their_kind():
    """One after the other, and to no place of another kind."""
    queue = Queue(plan(1, 4), Racks(pooled=True))
    queue.done(queue.take("1a"))
    assert queue.take("2a") is None
    task = queue.take("1b")
    assert (task.cycle, queue.take("1a")) == (1, None)
    queue.back(task)
    assert queue.take("1a") == task
    assert queue.keep(["1b"]) == []


def test_what_may_move_but_to_no_place_that_is_left_is_nobodys():
    """Its home has one, in which it may not run."""
    places = Racks()
    places.home = lambda place: "one kind"
    queue = Queue(wanting(plan(1, 2), ["1"]), places)
    queue.done(queue.take("1a"))
    assert queue.keep(["1b", "2a"]) == []
    assert queue.take("2a") is None
    assert queue.keep(["2a"]) == ["t00"]
    assert [*queue.homeless] == ["1"]
