"""What computes jobs: the model's thread, threads for streams, and tasks on an event loop. Each method has one of them.

The form of the author's method decides which, once, when the model is loaded.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...contract.methods import Handler, Method
from ...contract.violations import shown
from .jobs import Job, StreamJob, UnaryJob
from .outcomes import Failure, Outcome, classify

Observe = Callable[[Method, Failure | None], object]
"""Gets a failure of the model, or None for a batch, a call or a stream that was answered. Any thread may call it."""


@dataclass(frozen=True)
class LoadedModel:
    """The handler of each method, by the method's path, and the model's own `ready`, if it has one."""

    handlers: Mapping[str, Handler]
    ready: Callable[[], object] | None = None


@dataclass(frozen=True)
class ModelLoaded:
    """The model is loaded; from now on jobs are computed."""

    model: LoadedModel


@dataclass(frozen=True)
class ModelFailed:
    """The model cannot be loaded, or a thread of it broke later: no job will be computed any more.

    `reason` is the error as text, made in that thread.
    """

    error: BaseException
    reason: str


@dataclass(slots=True, eq=False)
class Work:
    """What the model is computing: a batch, a call or a step of a stream of `method`; its `ready` where that is None.

    `since` is a time of `time.monotonic`. `job` is there where each job is computed by itself.
    """

    method: Method | None
    since: float
    job: Job | None = None


@dataclass(slots=True, eq=False)
class ReadyCheck:
    """Asks the model's `ready`; `on_answer` gets None for yes, and otherwise why not.

    `began` is the time of `time.monotonic` at which `ready` was called.
    """

    on_answer: Callable[[Failure | None], object]
    began: float = math.inf


class Runner(Protocol):
    """Computes the jobs of some methods. Any thread may call its methods, which return at once."""

    def submit(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        """Takes jobs of one method; those that come together can be computed together."""

    def look_at(self, jobs: Sequence[UnaryJob | StreamJob]) -> None:
        """Looks at jobs again, of whose replies one was sent, or that are cancelled."""

    def works(self) -> Sequence[Work]:
        """What is being computed."""

    def is_stuck(self, work: Work) -> bool:
        """Whether nothing of the same method has come back since `work` began."""

    def waits_for(self, job: Job, work: Work) -> bool:
        """Whether a job of this runner is not computed as long as `work` is stuck."""


@dataclass(slots=True)
class Silence:
    """Calls of a method began, the first at `since`, and none has come back. Of `given_up` nobody waits any more."""

    method: Method
    since: float
    given_up: int = 0


class Works:
    """What is computed side by side, and since when nothing of a method has come back. For every thread."""

    def __init__(self) -> None:
        self._current: dict[Job, Work] = {}
        self._silences: dict[str, Silence] = {}  # by the paths of methods

    def begin(self, job: Job) -> None:
        """A call or a step of a stream begins."""
        self._current[job] = work = Work(job.method, time.monotonic(), job)
        if job.method.path not in self._silences:
            self._silences[job.method.path] = Silence(job.method, work.since)

    def end(self, job: Job) -> None:
        """The model came back from what had begun."""
        self.forget(job)
        self._silences.pop(job.method.path, None)

    def give_up(self, job: Job) -> None:
        """The model was made to give up what had begun, since nobody waits for it."""
        self.forget(job)
        silence = self._silences.get(job.method.path)
        if silence is not None:
            silence.given_up += 1

    def forget(self, job: Job) -> None:
        """What had begun has ended, which shows nothing of the model."""
        self._current.pop(job, None)

    def all(self) -> list[Work]:
        return list(self._current.values())

    def silences(self) -> list[Silence]:
        return list(self._silences.values())

    def is_stuck(self, work: Work) -> bool:
        """Whether nothing of the same method has come back since `work` began."""
        silence = self._silences.get(work.method.path) if work.method is not None else None
        return silence is not None and silence.since <= work.since


def why_not_ready(ask: Callable[[], object]) -> Failure | None:
    """What the model's `ready` comes to: None if it says that it is."""
    try:
        answer = ask()
        if answer not in (True, False):  # numpy's and PyTorch's are equal to them
            raise TypeError(f"ready() must return True or False, got {shown(answer)}")
    except BaseException as error:
        return classify(error)
    return None if answer else Failure(Outcome.UNAVAILABLE, "", reason="it returned False")
