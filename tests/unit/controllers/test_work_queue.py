"""The work queue: each key waits once, and no key is processed twice at the same time."""

from statefulroute.controllers.work_queue.backlog import Backlog, measure_backlog
from statefulroute.controllers.work_queue.queue import WorkQueue


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_key_waits_once_however_often_it_was_added() -> None:
    queue: WorkQueue[str] = WorkQueue()
    assert all(queue.add(key) for key in "aba")
    assert (queue.waiting, len(queue)) == (2, 2)
    assert [queue.get(), queue.get()] == ["a", "b"]


def test_key_that_is_added_during_its_processing_waits_again_when_it_is_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    key = queue.get()
    assert not queue.add(key)
    assert not queue.add(key)
    assert (queue.waiting, len(queue)) == (0, 1)
    assert queue.done(key)
    assert (queue.waiting, len(queue)) == (1, 1)
    assert not queue.done(queue.get())
    assert not len(queue)


def test_waits_are_measured_from_the_addition_and_during_the_processing() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    assert queue.oldest() is None
    queue.add("a")
    clock.now += 5
    queue.add("b")
    assert queue.get() == "a"
    assert (queue.processing_since("a"), queue.oldest()) == (100.0, 100.0)
    queue.done("a")
    assert queue.oldest() == 105.0


def test_waits_can_be_restarted() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    queue.add("a")
    clock.now += 5
    queue.restart_waits()
    assert queue.oldest() == 105.0


def test_backlog_counts_the_keys_that_wait_are_processed_or_are_retried() -> None:
    clock = Clock()
    queue: WorkQueue[str] = WorkQueue(clock)
    for key in "abc":
        queue.add(key)
    queue.get()
    assert measure_backlog(queue, ["b", "failed"], [], 103.0) == Backlog(4, 3.0)
    assert measure_backlog(queue, [], [90.0], 103.0) == Backlog(3, 13.0)


def test_empty_queue_has_no_backlog() -> None:
    assert measure_backlog(WorkQueue[str](), [], [], 103.0) == Backlog() == Backlog(0, 0.0)


def test_backlogs_of_two_queues_add_up() -> None:
    assert Backlog(3, 1.0).combined_with(Backlog(2, 7.0)) == Backlog(5, 7.0)
