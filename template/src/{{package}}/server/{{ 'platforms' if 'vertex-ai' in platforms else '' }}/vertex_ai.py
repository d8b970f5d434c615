"""Vertex AI: HTTP beside gRPC, where the platform says, and the model from where it says.

https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
"""

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from ...contract import served
from ..artifact import LoadError
from ..health import Health
from ..logs import logger
from ..servicer import Servicer
from ..settings import PORT, TEXT, Rule, Settings, setting
from .storage import fetch
from .web import Web, WebSettings

ROUTE: Rule = (str, re.compile(r"/[^\s?#{}]*").fullmatch)


@dataclass(frozen=True, kw_only=True)
class VertexSettings(WebSettings):
    """The server's settings, and what Vertex AI sets: an empty variable counts as one that is not set."""

    aip_http_port: int = setting(8080, PORT, "Port of HTTP, 0 to 65535; 0 takes any free one.")
    aip_health_route: str = setting("/health", ROUTE, "Path of the health route: 200 when the model can answer.")
    aip_predict_route: str = setting("/predict", ROUTE, "Path of the predict route.")
    aip_storage_uri: str | None = setting(None, TEXT, "Where the model is: `gs://BUCKET/PATH`, or a path.", "not set")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.aip_http_port == self.port != 0:
            raise ValueError(f"AIP_HTTP_PORT and PORT are both {self.port}: HTTP and gRPC need a port each")


class Adapter:
    """Answers `instances` with `predictions`, says 503 until the model is ready, and fetches the model."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._settings = VertexSettings.read(environ, served.METHODS)

    def fetch(self, artifact: Path) -> Path | None:
        """The artifact at AIP_STORAGE_URI; None where that is not set. MODEL_PATH goes before it."""
        if self._settings.aip_storage_uri is None:
            return None
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="model-")  # goes when the process ends
        except OSError as error:
            raise LoadError(f"there is no place for what is at AIP_STORAGE_URI: {error}") from error
        return fetch(self._settings.aip_storage_uri, artifact.name, Path(self._folder.name))

    async def start(self, servicer: Servicer, health: Health) -> None:
        settings = self._settings
        own = {item.name for item in fields(settings)} - {item.name for item in fields(Settings)}
        logger.info("Vertex AI: %s", ", ".join(f"{name}={getattr(settings, name)!r}" for name in sorted(own)))
        if settings.aip_storage_uri and settings.model_path:
            logger.warning("the model is taken from MODEL_PATH, not from AIP_STORAGE_URI: both are set")
        self._web = Web(settings, servicer, health)
        try:
            port = await self._web.start(settings.aip_http_port, settings.aip_health_route, settings.aip_predict_route)
        except OSError as error:
            logger.critical("cannot listen on AIP_HTTP_PORT, %d: %s", settings.aip_http_port, error.strerror or error)
            os._exit(1)  # nothing is lost yet, and gRPC's server would complain of any other end
        logger.info("HTTP: listening on port %d", port)

    async def stop(self) -> None:
        await self._web.stop()
