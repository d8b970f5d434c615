"""The server's life: settings, bind, load, warm up, serve, drain, end."""

import asyncio
import gc
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module, util

from ..contract import served
from .adapters import Adapter, platform_adapters
from .artifact import LoadError
from .binding import BindError
from .core.calls import Calls
from .core.evidence import READY, Evidence, FailureCount, Patience
from .core.exchanges import Limits
from .core.model_runners import ModelRunners
from .core.model_tasks import ModelTasks
from .core.model_thread import ModelThread
from .core.outbox import Outbox
from .core.outcomes import Failure, Outcome
from .core.runners import ModelFailed, ModelLoaded
from .core.state import ServerState, State
from .core.stream_threads import StreamThreads
from .exits import WHO_RAISES_SIGINT, call_later, end_interrupted_start, end_now, leave
from .heap import keep_some
from .interrupts import InterruptWatch
from .loading import load
from .logs import configure, logger
from .remedies import remedy
from .settings import Settings
from .tracebacks import safely, text_of
from .transports import Transport, transport_class

SETTLE_SECONDS = 0.2  # time for the transport to send its last replies
EXIT_SECONDS = 5.0  # at most, for the model's own threads, and what libraries do when the interpreter ends
SWITCH_SECONDS = 0.001  # of the interpreter lock; a model that holds it then delays the event loop less


@dataclass(frozen=True)
class StopRequested:
    """SIGTERM or SIGINT came while the server was serving. `origin` is where this process raised it, if it did."""

    origin: str = ""


def main(about_threads: str = "") -> int:
    """Runs the server; returns 0 when a signal ended it and no reply was lost, 1 when that or its start failed.

    `about_threads` is logged if it is not empty.
    """
    try:
        settings = Settings.read(os.environ, served.METHODS)
        transport = transport_class(settings, os.environ)
        adapters = platform_adapters(os.environ)
    except ValueError as error:
        logger.critical("%s", error)
        return 1
    configure(settings.log_level, settings.log_format)
    logger.info("%s", settings)
    if about_threads:
        logger.info("%s", about_threads)
    keep_some()
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(_run(settings, transport, adapters))


def _new_loop() -> asyncio.AbstractEventLoop:
    """An event loop of uvloop, which is faster under load and the project's choice, or else of asyncio."""
    loops = import_module("uvloop" if util.find_spec("uvloop") else "asyncio")
    loop: asyncio.AbstractEventLoop = loops.new_event_loop()
    return loop


async def _run(settings: Settings, transport: type[Transport], adapters: Sequence[Adapter]) -> int:
    return await Server(settings, transport, adapters).run()


class Server:
    """The parts of the server, and the order in which they start and stop. Made on the event loop."""

    def __init__(self, settings: Settings, transport: type[Transport], adapters: Sequence[Adapter]) -> None:
        self.settings, self.adapters = settings, adapters
        self.end = math.inf  # the time of `time.monotonic` at which a stop must be over
        self.events: asyncio.Queue[ModelLoaded | ModelFailed | StopRequested] = asyncio.Queue()
        self.state = ServerState()
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop)
        self.runners = self._runners(loop, outbox)
        limits = Limits(
            max_in_flight=settings.max_in_flight,
            max_in_flight_bytes=settings.max_in_flight_bytes,
            max_request_elements=settings.max_request_elements,
        )
        self.calls = Calls(self.state, self.runners.of, outbox, limits, log_requests=settings.log_requests)
        patience = Patience(
            model_timeout_seconds=settings.model_timeout_seconds,
            broken_seconds=settings.broken_seconds,
            ready_seconds=settings.ready_seconds,
        )
        self.evidence = Evidence(self.state, self.runners, self.calls, patience)
        self.transport = transport(self.calls, self.state, settings)

    def _runners(self, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> ModelRunners:
        """What computes the model's methods; it is the model's thread that loads it."""
        settings = self.settings
        count = FailureCount(lambda *doubt: loop.call_soon_threadsafe(self.evidence.doubt, *doubt))

        def report(event: ModelLoaded | ModelFailed) -> None:
            loop.call_soon_threadsafe(self.events.put_nowait, event)

        tasks = ModelTasks(report, count.observe, outbox.send, _new_loop, settings.max_in_flight)
        streams = None
        if settings.stream_threads > 1:
            streams = StreamThreads(settings.stream_threads, report, count.observe, outbox.send)
        self.model = ModelThread(
            load=partial(load, settings, adapters=self.adapters, tasks=tasks),
            report=report,
            observe=count.observe,
            send=outbox.send,
            max_batch_sizes=settings.max_batch_sizes(served.METHODS),
        )
        return ModelRunners(self.model, tasks, streams)

    async def run(self) -> int:
        """The whole life; returns the exit code."""
        _on_signal(partial(leave, 0), signal.SIGTERM)  # until there is something to lose
        _on_signal(end_interrupted_start, signal.SIGINT)
        if not await self._listen():
            return 1
        self.model.start()
        if await self._get_ready():
            stop = await self._serve()
            code = await self._drain()
            if stop.origin:
                logger.critical("code in this process raised SIGINT: %s. %s", stop.origin, WHO_RAISES_SIGINT)
                code = 1
        else:
            self.state.become(State.FAILED)
            code = 1
        await self._close(code)
        return code

    async def _listen(self) -> bool:
        """Binds and listens; health and refusals are answered from here on."""
        host, port = self.settings.host, self.settings.port
        try:
            port = self.transport.bind()
        except BindError as error:
            logger.critical("cannot listen on %s, port %d: %s", host, port, error)
            return False
        starts = (adapter.start(self.calls, self.state) for adapter in self.adapters)
        await asyncio.gather(self.transport.start(), *starts)
        logger.info("listening on %s, port %d", host, port)
        return True

    async def _get_ready(self) -> bool:
        """Waits until the model has answered a sample request for every method; if it cannot, the log says why."""
        event = await self.events.get()
        if isinstance(event, ModelFailed):  # whose error's own code may be slow to say what it is
            await asyncio.to_thread(_log_failed_start, "loading the model", event.error)
            return False
        assert isinstance(event, ModelLoaded)
        self.runners.use(event.model, served.METHODS)
        self.evidence.watch_for_hang()
        try:
            await self.evidence.until_ready()
        except Failure as error:
            _log_failed_start(f"the model's {READY}", error)
            return False
        for method in served.METHODS:
            try:
                await self.calls.warm_up(method)
            except Exception as error:
                if method.retired and isinstance(error, Failure) and error.outcome is Outcome.UNIMPLEMENTED:
                    continue  # nothing answers it any more, and its callers get just that
                _log_failed_start(f"the warm-up request of {method.label}", error)
                return False
        gc.collect()
        gc.freeze()  # what is loaded stays for good: the collector need not go through it again and again
        sys.setswitchinterval(SWITCH_SECONDS)
        self.state.become(State.READY)
        return True

    async def _serve(self) -> StopRequested:
        """Serves until a signal asks for a stop; ends the process if a thread of the model breaks."""
        _on_signal(lambda: self.events.put_nowait(StopRequested()), signal.SIGTERM)
        _on_signal(lambda: self.events.put_nowait(StopRequested(watch.origin())), signal.SIGINT)
        watch = InterruptWatch()
        self.state.become(State.SERVING)
        self.evidence.watch_ready()
        logger.info("serving %s", ", ".join(served.SERVICES))
        event = await self.events.get()
        if isinstance(event, ModelFailed):  # a server that cannot answer must not look alive
            self.state.become(State.FAILED)
            end_now(1, f"the model's thread broke: {event.reason}")
        assert isinstance(event, StopRequested)
        return event

    async def _drain(self) -> int:
        """Waits for accepted calls to finish, without losing a reply; returns the exit code."""
        _on_signal(_ignore, signal.SIGTERM)  # timeout(1) and some supervisors send it twice
        _on_signal(partial(end_now, 1, "interrupted while stopping"), signal.SIGINT)
        admission, settings = self.calls.admission, self.settings
        self.end = time.monotonic() + settings.drain_seconds - SETTLE_SECONDS
        logger.info("stopping, with %d requests in flight", admission.open_calls)
        if self.state.is_serving:  # a broken model takes no calls anyway, and health says so
            self.state.become(State.LAME_DUCK)
            await asyncio.sleep(min(settings.lame_duck_seconds, settings.drain_seconds))
        self.state.become(State.DRAINING)
        self.model.expect_no_more()
        while admission.open_calls and time.monotonic() < self.end:
            await asyncio.sleep(0.01)
        if admission.open_calls:
            logger.error("requests without a reply after DRAIN_SECONDS: %d", admission.open_calls)
            return 1
        await asyncio.sleep(SETTLE_SECONDS)
        return 0

    async def _close(self, code: int) -> None:
        """Ends health watches, connections and the model's threads."""
        if not self.state.current.is_final:
            self.state.become(State.STOPPED)
        await asyncio.gather(self.transport.stop(SETTLE_SECONDS), *(adapter.stop() for adapter in self.adapters))
        if not self.runners.stop(SETTLE_SECONDS):
            end_now(code, "the model is still computing; the process ends without it")
        left = max(SETTLE_SECONDS, min(EXIT_SECONDS, self.end - time.monotonic()))
        call_later(left, end_now, code, "threads of the model still run; the process ends without them")


def _log_failed_start(step: str, error: BaseException) -> None:
    """With a traceback where that helps: what a LoadError or a Failure means is in its text, or logged already."""
    if isinstance(error, Failure) and not error.is_the_models:
        text = "%s failed: %s (%s; `example` in schema.yaml chooses the values of this request)"
        logger.critical(text, step, error, error.outcome.name)
        return
    if isinstance(error, LoadError | Failure):
        logger.critical("%s failed: %s", step, text_of(error))
        return
    text = f"{type(error).__name__}: {text_of(error)}"
    reason = "\n".join(filter(None, (text, safely(lambda: remedy(error), ""))))
    logger.critical("%s failed: %s", step, reason, exc_info=error)


def _on_signal(call: Callable[[], object], *numbers: int) -> None:
    """Has the running loop make `call` at these signals: another kind of handler may not wake a loop that waits."""
    loop = asyncio.get_running_loop()
    for number in numbers:
        if os.name == "nt":  # has no such handlers, and there every one wakes the loop
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))
        else:
            loop.add_signal_handler(number, call)


def _ignore() -> None:
    """For a signal that changes nothing."""
