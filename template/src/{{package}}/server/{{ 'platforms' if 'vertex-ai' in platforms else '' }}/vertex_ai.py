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
from ..core.calls import Calls
from ..core.state import ServerState
from ..logs import logger
from ..settings import Settings, parse_port, parse_text, setting
from .http_server import HttpServer, HttpSettings
from .storage import fetch


def parse_route(text: str) -> str:
    if not re.fullmatch(r"/[^\s?#{}]*", text):
        raise ValueError("must be a path that begins with / and has no spaces, ?, #, { or }")
    return text


@dataclass(frozen=True, kw_only=True)
class VertexSettings(HttpSettings):
    """The server's settings, and what Vertex AI sets: an empty variable counts as one that is not set."""

    aip_http_port: int = setting(8080, parse_port, "Port of HTTP, from 0 to 65535; 0 takes any free one.")
    aip_health_route: str = setting("/health", parse_route, "Path of the health route: 200 when the model can answer.")
    aip_predict_route: str = setting("/predict", parse_route, "Path of the predict route.")
    aip_storage_uri: str | None = setting(
        None, parse_text, "Where the model is: `gs://BUCKET/PATH`, or a path.", "not set"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.aip_http_port == self.port != 0:
            raise ValueError(f"AIP_HTTP_PORT and PORT are both {self.port}: HTTP and gRPC need a port each")


class Adapter:
    """Answers `instances` with `predictions`, says 503 until the model is ready, and fetches the model."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._settings = VertexSettings.read(environ, served.METHODS)

    def fetch(self, artifact: Path) -> Path | None:
        """The artifact at AIP_STORAGE_URI; None where that is not set."""
        if self._settings.aip_storage_uri is None:
            return None
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="model-")  # removed when the process ends
        except OSError as error:
            raise LoadError(f"there is no room for what is at AIP_STORAGE_URI: {error}") from error
        return fetch(self._settings.aip_storage_uri, artifact.name, Path(self._folder.name))

    async def start(self, calls: Calls, state: ServerState) -> None:
        settings = self._settings
        own = {item.name for item in fields(settings)} - {item.name for item in fields(Settings)}
        logger.info("Vertex AI: %s", ", ".join(f"{name}={getattr(settings, name)!r}" for name in sorted(own)))
        if settings.aip_storage_uri and settings.model_path:
            logger.warning("the model is taken from MODEL_PATH, not from AIP_STORAGE_URI: both are set")
        self._http = HttpServer(settings, calls, state)
        try:
            port = await self._http.start(settings.aip_http_port, settings.aip_health_route, settings.aip_predict_route)
        except OSError as error:
            logger.critical("cannot listen on AIP_HTTP_PORT, %d: %s", settings.aip_http_port, error.strerror or error)
            os._exit(1)  # nothing is lost yet, and gRPC's server would complain of any other end
        logger.info("HTTP: listening on port %d", port)

    async def stop(self) -> None:
        await self._http.stop()
