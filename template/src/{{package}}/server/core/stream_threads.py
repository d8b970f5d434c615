"""Threads for streams, if STREAM_THREADS asks for several: as many steps of streams are computed at the same time."""

import threading
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from queue import SimpleQueue

from ...contract.methods import Handler
from ..tracebacks import described
from .jobs import Job, StreamJob, UnaryJob
from .runners import ModelFailed, Observe, Work, Works
from .streams import StreamTurns


class Wake(Enum):
    """Why a thread should stop waiting, other than for a new stream."""

    LOOK = auto()
    """A stream has room for another reply, or is abandoned."""
    STOP = auto()


class StreamThread(threading.Thread):
    """Computes its streams by turns, until it is stopped. `submitted_count` is how many of them it was given."""

    def __init__(self, number: int, turns: StreamTurns, report: Callable[[ModelFailed], object]) -> None:
        super().__init__(name=f"streams-{number}", daemon=True)  # one that hangs must not keep the process from ending
        self.turns, self.queue = turns, SimpleQueue[StreamJob | Wake]()
        self.submitted_count = 0
        self._report = report
        self._stopping = False

    @property
    def open_streams(self) -> int:
        return self.submitted_count - self.turns.ended_count

    def run(self) -> None:
        try:
            idle = True
            while not self._stopping:
                self._receive(wait=idle)
                idle = not self.turns.take()
        except BaseException as error:  # the server must hear of every end of this thread
            self._report(ModelFailed(error, described(error)))

    def _receive(self, *, wait: bool) -> None:
        """Takes all that is queued; with `wait`, at least one item."""
        while wait or not self.queue.empty():
            item = self.queue.get()
            wait = False
            if item is Wake.STOP:
                self._stopping = True
            elif isinstance(item, StreamJob):
                self.turns.add(item)


class StreamThreads:
    """Computes streams in `count` threads. Each stream stays in one of them: that which has the fewest."""

    def __init__(
        self,
        count: int,
        report: Callable[[ModelFailed], object],
        observe: Observe,
        send: Callable[[], object],
    ) -> None:
        self._handlers: Mapping[str, Handler] = {}
        self._works = Works()
        self._lock = threading.Lock()
        self._threads = [
            StreamThread(
                number,
                StreamTurns(lambda method: self._handlers[method.path], self._works, observe, send),
                report,
            )
            for number in range(count)
        ]

    def start(self, handlers: Mapping[str, Handler]) -> None:
        """From now on streams are computed, by these functions of the model."""
        self._handlers = handlers
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        for job in jobs:
            assert isinstance(job, StreamJob)
            with self._lock:
                job.thread = min(range(len(self._threads)), key=lambda index: self._threads[index].open_streams)
                thread = self._threads[job.thread]
                thread.submitted_count += 1
            thread.queue.put(job)

    def look_at(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        for job in jobs:
            assert isinstance(job, StreamJob)
            self._threads[job.thread].queue.put(Wake.LOOK)

    def works(self) -> Sequence[Work]:
        return self._works.all()

    def is_stuck(self, work: Work) -> bool:
        return self._works.is_stuck(work)

    def waits_for(self, job: Job, work: Work) -> bool:
        """Streams of the method, and those that share the thread of the one that is stuck."""
        assert isinstance(job, StreamJob)
        assert isinstance(work.job, StreamJob)
        return job.method is work.method or job.thread == work.job.thread

    def stop(self) -> list[threading.Thread]:
        """Has the threads end after the steps that they are computing; returns those that were started."""
        for thread in self._threads:
            thread.queue.put(Wake.STOP)
        return [thread for thread in self._threads if thread.is_alive()]
