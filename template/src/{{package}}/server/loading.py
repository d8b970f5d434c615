"""Loading: from the author's `model.py` and the artifact to the handler of each method. Runs in the model's thread.

A class with async methods is made on the event loop on which they run.
"""

import gc
import importlib
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from ..contract import served
from ..contract.methods import is_async
from . import artifact
from .adapters import Adapter
from .core.model_tasks import ModelTasks
from .core.runners import LoadedModel
from .logs import logger
from .settings import Settings

NOT_ASKED = "the model's `ready` is not asked whether the model can answer: %s"


def load(settings: Settings, adapters: Sequence[Adapter], tasks: ModelTasks) -> LoadedModel:
    """The author's model. Raises LoadError, or what the author's code raises."""
    module = _import_model()
    if missing := served.missing_code(module):
        raise artifact.LoadError(missing)
    path = _artifact_path(module, settings, adapters)
    digest = artifact.verify(path, settings.model_sha256)
    about = f"{path}, SHA-256 {digest}" if digest else str(path)
    logger.info("loading %s", about, extra={"artifact": str(path), "sha256": digest})
    model = _make_model(module, path, tasks)
    logger.disabled = False  # logging.config, which libraries call, disables the loggers that exist already
    handlers = {method.path: method.bind(model) for method in served.METHODS}
    ready = _ready(model)
    if any(map(is_async, [*handlers.values(), ready])):
        tasks.begin()
    return LoadedModel(handlers, ready)


def _make_model(module: ModuleType, path: Path, tasks: ModelTasks) -> object:
    """An instance of the author's class. If it has async methods, it is made on their loop, as engines may need it."""
    names = {"ready", *(method.attribute for method in served.METHODS)}
    if any(is_async(getattr(module.Model, name, None)) for name in names):
        tasks.begin()
        return tasks.call(partial(module.Model, path))
    return module.Model(path)


def _ready(model: object) -> Callable[[], object] | None:
    """The model's method `ready`, if it has one that is not of the contract."""
    is_of_the_contract = any(method.attribute == "ready" for method in served.METHODS)
    if is_of_the_contract or inspect.getattr_static(model, "ready", None) is None:
        return None
    if not callable(getattr(type(model), "ready", None)):
        logger.warning(NOT_ASKED, "it is not a method of the class")
        return None
    ready: Callable[[], object] = model.ready  # type: ignore[attr-defined]
    try:
        inspect.signature(ready).bind()
    except TypeError:
        logger.warning(NOT_ASKED, "it requires arguments")
        return None
    return ready


def _import_model() -> ModuleType:
    """Imports `model.py`, and with it the framework."""
    gc.disable()  # imports make a hundred thousand objects and next to no garbage
    module = importlib.import_module("..model", __package__)
    gc.freeze()
    gc.enable()
    return module


def _artifact_path(module: ModuleType, settings: Settings, adapters: Sequence[Adapter]) -> Path:
    """MODEL_PATH, else where a platform has the artifact, else ARTIFACT in `model.py`."""
    if settings.model_path is not None:
        return Path(settings.model_path)
    for adapter in adapters:
        path = adapter.fetch(Path(module.ARTIFACT))
        if path is not None:
            return path
    return Path(module.ARTIFACT)
