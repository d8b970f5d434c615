"""The runners of a model: each method has the one that its form asks for."""

import threading
import time
from collections.abc import Iterable, Sequence

from ...contract.methods import Method, is_async
from .jobs import StreamJob, UnaryJob
from .model_tasks import ModelTasks
from .model_thread import ModelThread
from .runners import LoadedModel, ReadyCheck, Runner, Silence, Work
from .stream_threads import StreamThreads


class ModelRunners:
    """All that computes: async methods in `tasks`, other streams in `streams` if there are such threads.

    The rest is computed in `thread`.
    """

    def __init__(self, thread: ModelThread, tasks: ModelTasks, streams: StreamThreads | None) -> None:
        self._thread, self._tasks, self._streams = thread, tasks, streams
        self._by_path: dict[str, Runner] = {}
        self._ready_is_async = False
        self.has_ready = False
        """Whether the model, once it is loaded, has a method `ready`."""

    def use(self, model: LoadedModel, methods: Iterable[Method]) -> None:
        """The model is loaded: decides which runner computes which method."""
        self.has_ready, self._ready_is_async = model.ready is not None, is_async(model.ready)
        self._tasks.use(model)
        if self._streams is not None:
            self._streams.start(model.handlers)
        for method in methods:
            self._by_path[method.path] = self._runner(method, is_async=is_async(model.handlers[method.path]))

    def _runner(self, method: Method, *, is_async: bool) -> Runner:
        if is_async:
            return self._tasks
        return self._streams if method.streaming and self._streams is not None else self._thread

    def of(self, method: Method) -> Runner:
        """What computes a method, once the model is loaded."""
        return self._by_path[method.path]

    def check_ready(self, check: ReadyCheck) -> None:
        """Asks the model's `ready`. Any thread may call this."""
        (self._tasks if self._ready_is_async else self._thread).check_ready(check)

    def works(self) -> list[tuple[Runner, Work]]:
        """What is being computed, and by which runner."""
        runners: list[Runner | None] = [self._thread, self._tasks, self._streams]
        return [(runner, work) for runner in runners if runner is not None for work in runner.works()]

    def silences(self) -> Sequence[Silence]:
        """Async methods of which nothing comes back."""
        return self._tasks.silences()

    def waits_for(self, job: UnaryJob | StreamJob, runner: Runner, work: Work) -> bool:
        """Whether a job is not computed as long as `work` of `runner` is stuck."""
        return self.of(job.method) is runner and runner.waits_for(job, work)

    def warn_if_blocked(self) -> None:
        """Logs where the model blocks its event loop, if it does. To be called every second."""
        self._tasks.warn_if_blocked()

    def stop(self, timeout: float) -> bool:
        """Ends all threads after what they are computing; False if that takes longer than `timeout` seconds."""
        end = time.monotonic() + timeout
        threads: list[threading.Thread] = [*self._thread.stop(), *self._tasks.stop()]
        if self._streams is not None:
            threads += self._streams.stop()
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)
