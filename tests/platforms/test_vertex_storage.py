"""AIP_STORAGE_URI: the model from where Vertex AI says, by a real server process.

Cloud Storage is a stand-in that answers the two calls of its JSON API that google-cloud-storage makes here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c
import pytest

from serving import MODEL, Probe
from vertex_probe import loading, make_vertex_probe, row, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the server is stopped by signals")
DIGEST = hashlib.sha256(b"plain").hexdigest()
BUCKET = {
    "iris/1/model.txt": b"plain",
    "iris/1/model.txt.sha256": f"{DIGEST}  model.txt\n".encode(),
    "iris/1/report.html": b"<html>",
    "iris/10/model.txt": b"failing",
    "torn/model.txt": b"plain ",
    "torn/model.txt.sha256": f"{DIGEST}  model.txt\n".encode(),
    "other/weights.bin": b"plain",
    "folder/model.txt/": b"",
    "folder/model.txt/a/weights": b"plain",
    "folder/model.txt/vocabulary": b"words",
    "escape/model.txt/../../../outside": b"plain",
}


class Storage(BaseHTTPRequestHandler):
    """Lists and gives what is in BUCKET; the bucket `closed` is somebody else's."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, query = parts.path, parse_qs(parts.query)
        if "/b/closed" in path:
            self.reply(403, json.dumps({"error": {"code": 403, "message": "no access to closed"}}).encode())
        elif path == "/storage/v1/b/models/o":
            prefix = query.get("prefix", [""])[0]
            items = [self.described(name) for name in sorted(BUCKET) if name.startswith(prefix)]
            self.reply(200, json.dumps({"kind": "storage#objects", "items": items}).encode())
        elif path.startswith("/download/storage/v1/b/models/o/"):
            self.reply(200, BUCKET[unquote(path.rpartition("/o/")[2])])
        else:
            self.reply(404, b"{}")

    def described(self, name: str) -> dict[str, str]:
        return {"kind": "storage#object", "name": name, "bucket": "models", "size": str(len(BUCKET[name]))}

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Goog-Hash", f"crc32c={base64.b64encode(google_crc32c.Checksum(body).digest()).decode()}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def probe(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return make_vertex_probe(template, tmp_path_factory.mktemp("vertex"))


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, str]]:
    """The environment in which google-cloud-storage asks the stand-in, without credentials."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Storage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}
        server.shutdown()


@pytest.mark.parametrize("path", ["iris/1", "iris/1/", "iris/1/model.txt"])
def test_the_model_is_fetched_from_cloud_storage(probe: Probe, storage: dict[str, str], path: str) -> None:
    with running(probe, AIP_STORAGE_URI=f"gs://models/{path}", **storage) as web:
        assert web.predict(row(1)).status == 200
        assert f"fetched 2 files from gs://models/{path}" in web.server.messages("INFO")
        assert web.server.messages("WARNING") == ""  # the digest beside it was checked
        (folder,) = {
            line.split("loading ")[1] for line in web.server.messages("INFO").splitlines() if "loading " in line
        }
        web.server.terminate()
        assert web.server.ended() == 0
        assert not Path(folder).exists()


def test_an_artifact_can_be_a_folder(probe: Probe, storage: dict[str, str], tmp_path: Path) -> None:
    model = MODEL.replace(
        "how = artifact.read_text().strip()",
        "tell(files=sorted(p.relative_to(artifact).as_posix() for p in artifact.rglob('*') if p.is_file()))\n"
        "        how = 'plain'",
    )
    with running(probe.with_model(model, tmp_path / "p"), AIP_STORAGE_URI="gs://models/folder", **storage) as web:
        assert web.server.told.wait(lambda line: "files" in line) == [{"files": ["a/weights", "vocabulary"]}]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("gs://models/torn", "model.txt is damaged or another one: SHA-256 "),
        ("gs://models/other", "where there is no model.txt (ARTIFACT in model.py has this name), but: weights.bin"),
        ("gs://models/nothing", "where there is no model.txt (ARTIFACT in model.py has this name), but: nothing"),
        ("gs://closed/iris", "AIP_STORAGE_URI is gs://closed/iris, which cannot be read: "),
        ("gs://models/escape", "would be written outside of"),
        ("s3://models/iris", "AIP_STORAGE_URI is s3://models/iris: the model can be at gs://BUCKET/PATH or at a path"),
        ("/no/such/place", "AIP_STORAGE_URI is /no/such/place: there is nothing"),
    ],
)
def test_a_model_that_cannot_be_fetched_is_told(probe: Probe, storage: dict[str, str], uri: str, said: str) -> None:
    with loading(probe, AIP_STORAGE_URI=uri, **storage) as web:
        assert web.server.ended() == 1
        assert said in web.server.messages("CRITICAL")
        assert not [line for line in web.server.log.json() if line["level"] == "CRITICAL" and "error" in line]
        assert web.server.told.ended() == []  # the author's class never saw it


@contextmanager
def folder_of(tmp_path: Path, digest: str) -> Iterator[Path]:
    (tmp_path / "model.txt").write_text("plain", encoding="utf-8")
    (tmp_path / "model.txt.sha256").write_text(f"{digest}  model.txt\n", encoding="utf-8")
    yield tmp_path


@pytest.mark.parametrize("form", ["{}", "{}/model.txt", "file://{}"])
def test_a_path_is_a_place_too(probe: Probe, tmp_path: Path, form: str) -> None:
    with folder_of(tmp_path, DIGEST) as folder, running(probe, AIP_STORAGE_URI=form.format(folder)) as web:
        web.server.log.wait(lambda line: line["message"].startswith(f"loading {folder / 'model.txt'}"))
        assert web.server.messages("WARNING") == ""


def test_MODEL_PATH_goes_before_it_and_MODEL_SHA256_counts(probe: Probe, tmp_path: Path) -> None:
    with folder_of(tmp_path, "0" * 64) as folder:
        with running(probe, AIP_STORAGE_URI=str(folder), MODEL_SHA256=DIGEST) as web:
            assert web.server.messages("WARNING") == ""
        with running(probe, AIP_STORAGE_URI=str(folder), MODEL_PATH="artifacts/model.txt") as web:
            said = "the model is taken from MODEL_PATH, not from AIP_STORAGE_URI: both are set"
            assert web.server.messages("WARNING") == said
