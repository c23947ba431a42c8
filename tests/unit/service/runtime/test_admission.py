from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from starlette.types import Message, Receive

from service.errors import Busy, ClientGone, DeadlineExceeded
from service.observability.metrics import Metrics
from service.observability.timings import Timings
from service.runtime.admission import Admission, deadline, while_connected


class Crowd:
    """Requests that hold a worker until they are let go."""

    def __init__(self, admission: Admission, metrics: Metrics) -> None:
        self.admission = admission
        self.metrics = metrics
        self.go = asyncio.Event()
        self.most_running = 0
        self.running = 0

    async def request(self) -> str:
        try:
            async with self.admission.worker(Timings(self.metrics)):
                self.running += 1
                self.most_running = max(self.most_running, self.running)
                await self.go.wait()
                self.running -= 1
                return "answered"
        except Busy as error:
            return f"{error.code} for {error.retry_after_s} s"


@pytest.mark.parametrize(("workers", "queue_size"), [(1, 0), (1, 8), (2, 8), (3, 1)])
async def test_workers_and_queue_are_filled_and_the_rest_is_refused_at_once(workers: int, queue_size: int) -> None:
    metrics = Metrics()
    crowd = Crowd(Admission(workers, queue_size, metrics), metrics)
    tasks = [asyncio.create_task(crowd.request()) for _ in range(64)]
    await asyncio.sleep(0.01)
    assert Counter(task.result() for task in tasks if task.done()) == {"busy for 1 s": 64 - workers - queue_size}
    assert metrics.registry.get_sample_value("weaksam_queue_depth") == queue_size
    assert metrics.registry.get_sample_value("weaksam_running") == workers
    crowd.go.set()
    outcomes = Counter(await asyncio.gather(*tasks))
    assert outcomes == {"answered": workers + queue_size, "busy for 1 s": 64 - workers - queue_size}
    assert crowd.most_running == workers
    assert metrics.registry.get_sample_value("weaksam_queue_depth") == 0
    assert metrics.registry.get_sample_value("weaksam_running") == 0


async def test_one_that_leaves_the_queue_makes_room() -> None:
    metrics = Metrics()
    crowd = Crowd(Admission(1, 1, metrics), metrics)
    running, waiting = (asyncio.create_task(crowd.request()) for _ in range(2))
    await asyncio.sleep(0.01)
    assert await crowd.request() == "busy for 1 s"
    waiting.cancel()
    await asyncio.sleep(0.01)
    next_one = asyncio.create_task(crowd.request())
    await asyncio.sleep(0.01)
    crowd.go.set()
    assert list(await asyncio.gather(running, next_one)) == ["answered", "answered"]


async def test_retry_after_grows_with_the_work_ahead() -> None:
    # Two requests that take 10 s and 20 s, then one that is being worked on.
    clock_s = iter([0.0, 10.0, 10.0, 30.0, 30.0, 30.0])
    metrics = Metrics()
    admission = Admission(1, 3, metrics, lambda: next(clock_s))
    for _ in range(2):
        async with admission.worker(Timings(metrics)):
            pass
    crowd = Crowd(admission, metrics)
    tasks = [asyncio.create_task(crowd.request()) for _ in range(4)]
    await asyncio.sleep(0.01)
    with pytest.raises(Busy, match=r"1 requests are running and 3 are waiting") as caught:
        await admission.worker(Timings(metrics)).__aenter__()
    assert caught.value.retry_after_s == (10 + 0.2 * (20 - 10)) * 4
    for task in reversed(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_retry_after_is_learnt_from_successes_alone() -> None:
    # 10 s for one that succeeds, then 1000 s for one that fails. Two more are on their way.
    clock_s = iter([0.0, 10.0, 10.0, 1010.0, 1010.0])
    metrics = Metrics()
    admission = Admission(1, 0, metrics, lambda: next(clock_s, 1010.0))
    async with admission.worker(Timings(metrics)):
        pass
    with pytest.raises(DeadlineExceeded):
        async with admission.worker(Timings(metrics)):
            raise DeadlineExceeded("late")
    async with admission.worker(Timings(metrics)):
        with pytest.raises(Busy) as caught:
            await admission.worker(Timings(metrics)).__aenter__()
    assert caught.value.retry_after_s == 10


async def test_a_deadline_cancels_its_body_and_says_so() -> None:
    with pytest.raises(DeadlineExceeded, match=r"0\.01 s"):
        async with deadline(0.01):
            await asyncio.sleep(10)


async def test_a_timeout_of_the_body_itself_is_not_taken_for_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="its own"):
        async with deadline(10):
            raise TimeoutError("its own")


async def test_work_is_cancelled_when_the_client_goes() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(ClientGone):
        await while_connected(_messages({"type": "http.request"}, {"type": "http.disconnect"}), work())
    assert cancelled.is_set()


async def test_the_answer_or_the_error_of_work_comes_through() -> None:
    async def fail() -> None:
        raise KeyError("of the work")

    assert await while_connected(_messages(), asyncio.sleep(0, "answer")) == "answer"
    with pytest.raises(KeyError, match="of the work"):
        await while_connected(_messages(), fail())


def _messages(*messages: Message) -> Receive:
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return left.pop(0)

    return receive
