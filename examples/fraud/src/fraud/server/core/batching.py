"""When a batch starts: at once, or a moment later, because callers are known to come back.

Callers who wait for each reply before they ask again come back just after a batch was answered. If the next batch of
a slow model starts at that moment, it takes only those who came earlier, and the others wait for a whole batch: 16
callers get batches of 12 and 4 in turn, where the model could answer all 16 at a time.
"""

from collections import deque

from .jobs import UnaryJob

SHARE_OF_BATCH = 1 / 8  # of the time that a batch takes: a wait is at most as long
SHORTEST_WAIT = 0.001  # seconds; hardly anybody comes back sooner, so that models that take less than 8 ms never wait
LONGEST_WAIT = 0.05  # seconds; whoever takes longer is doing something else


class BatchQueue:
    """The requests that wait for one unary method, and when a batch of them starts. For one thread.

    A batch is due when as many have come back as usual, when it is full, and at the latest after a small part of the
    time that a batch takes. The queue measures how long batches take, and what share of the answered comes back so
    soon. So a batch waits for nobody if callers do not come back, if all that are expected are here (a lone caller
    is one), if the model is fast, or if a deadline would pass. All times are those of `time.monotonic`, in seconds.
    """

    def __init__(self, max_batch_size: int) -> None:
        self._max_batch_size = max_batch_size
        self._jobs: deque[UnaryJob] = deque()
        self._durations = (0.0, 0.0)  # of the last two batches
        self._return_share = 0.0  # of the answered, a moving average: who comes back within a wait
        self._wait_end = 0.0  # of the time after the last batch in which callers count as coming back
        self._answered = 0  # in the last batch
        self._returned = 0  # of them, until now
        self._expected = 0  # of them

    def add(self, job: UnaryJob) -> None:
        self._jobs.append(job)
        if job.queued <= self._wait_end:
            self._returned += 1

    @property
    def is_empty(self) -> bool:
        return not self._jobs

    def seconds_until_due(self, now: float) -> float:
        """How long the next batch should wait for those who are expected."""
        if self._returned >= self._expected or len(self._jobs) >= self._max_batch_size:
            return 0.0
        return max(0.0, self._latest_start() - now)

    def take_batch(self) -> list[UnaryJob]:
        """The requests of the next batch, which are in the queue no longer."""
        return [self._jobs.popleft() for _ in range(min(self._max_batch_size, len(self._jobs)))]

    def answered(self, requests: int, started: float, ended: float) -> None:
        """A batch was answered. Whoever is added from now on may be a caller who comes back."""
        if self._answered and self._wait_end:
            share = min(1.0, self._returned / self._answered)
            self._return_share += (share - self._return_share) / 2
        self._durations = self._durations[1], ended - started
        duration = min(self._durations)  # of the shorter one: an exception makes nobody wait
        wait = min(duration * SHARE_OF_BATCH, LONGEST_WAIT)
        self._wait_end = ended + wait if wait >= SHORTEST_WAIT else 0.0
        self._answered, self._returned = requests, 0
        expected = round(requests * self._return_share) if self._wait_end else 0
        # Whoever comes back gains the time of a batch, and whoever is here already loses that of the wait.
        self._expected = expected if expected * duration > len(self._jobs) * wait else 0

    def _latest_start(self) -> float:
        """The end of the wait, or earlier, so that the batch ends before the first deadline."""
        deadline = min(job.deadline for job in self._jobs)
        return min(self._wait_end, deadline - max(self._durations) * (1 + SHARE_OF_BATCH))
