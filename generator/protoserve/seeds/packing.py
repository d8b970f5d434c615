"""Readable code that keeps several model files in one artifact: part of the seeds of model.py and train.py."""

from __future__ import annotations

UNPACK = '''def unpack(artifact: Path) -> dict[str, bytes]:
    """The files that `pack` in train.py put into the artifact, by their names without suffix."""
    with zipfile.ZipFile(artifact) as files:
        return {Path(name).stem: files.read(name) for name in files.namelist()}
'''

PACK = '''def pack(artifact: Path, files: Mapping[str, bytes | bytearray]) -> None:
    """Puts the models into one file, since MODEL_PATH and the digest name one; `unpack` in model.py takes them out."""
    with zipfile.ZipFile(artifact, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # without the time, so that equal models are equal files
'''
