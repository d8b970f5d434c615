"""A model's artifact from where a platform keeps models: Cloud Storage, or a folder that it mounts."""

from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ..artifact import LoadError
from ..logs import logger

_SHOWN = 10


def fetch(uri: str, name: str, folder: Path) -> Path:
    """The path of the artifact `name` at `uri`, with its `.sha256` file beside it where there is one.

    `uri` is a file, or a folder that holds `name`, which may be a folder itself: `gs://BUCKET/PATH` is downloaded into
    `folder`, a local path (or `file://`) is taken where it is. Raises LoadError.
    """
    parts = urlsplit(uri)
    if parts.scheme == "gs":
        return _download(uri, parts.netloc, parts.path.strip("/"), name, folder)
    if parts.scheme not in ("", "file"):
        raise LoadError(f"AIP_STORAGE_URI is {uri}: the model can be at gs://BUCKET/PATH or at a path")
    path = Path(parts.path if parts.scheme else uri)
    if not path.exists():
        raise LoadError(f"AIP_STORAGE_URI is {uri}: there is nothing")
    if not path.is_dir():
        return path
    if not (path / name).exists():
        raise _missing(uri, name, sorted(item.name for item in path.iterdir()))
    return path / name


def _download(uri: str, bucket: str, prefix: str, name: str, folder: Path) -> Path:
    """Writes the artifact's objects below `folder`."""
    from google.cloud import storage  # takes half a second, and is seldom needed

    try:
        with storage.Client() as client:
            listed = client.list_blobs(bucket, prefix=prefix)
            blobs = {blob.name: blob for blob in listed if not blob.name.endswith("/")}
            is_file = prefix in blobs
            base = prefix.rpartition("/")[0] if is_file else prefix
            artifact = PurePosixPath(prefix).name if is_file else name
            inside = {key[len(base) :].lstrip("/"): blob for key, blob in blobs.items() if _is_below(key, base)}
            chosen = {key: blob for key, blob in inside.items() if _belongs(key, artifact)}
            if not any(key != f"{artifact}.sha256" for key in chosen):
                raise _missing(uri, name, sorted(inside))
            for key, blob in chosen.items():
                _write(blob, folder / key, folder)
    except LoadError:
        raise
    except Exception as error:  # of the library's many kinds, and those of its own libraries
        raise LoadError(f"AIP_STORAGE_URI is {uri}, which cannot be read: {error}") from error
    logger.info("fetched %d files from %s", len(chosen), uri)
    return folder / artifact


def _is_below(key: str, base: str) -> bool:
    return not base or key.startswith(f"{base}/")


def _belongs(key: str, artifact: str) -> bool:
    """Whether an object is the artifact, a part of it, or its digest."""
    return key in (artifact, f"{artifact}.sha256") or key.startswith(f"{artifact}/")


def _write(blob: Any, path: Path, folder: Path) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise LoadError(f"the object {blob.name} would be written outside of {folder}")
    path.parent.mkdir(parents=True, exist_ok=True)
    blob.download_to_filename(str(path))


def _missing(uri: str, name: str, names: list[str]) -> LoadError:
    listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    about = f"AIP_STORAGE_URI is {uri}, where there is no {name} (ARTIFACT in model.py has this name)"
    return LoadError(f"{about}, but: {listed or 'nothing'}")
