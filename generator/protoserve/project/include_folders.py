"""The folders of `--include`, for this process and for the generator, which Copier runs in one of its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from protoserve.platform.errors import ProtoserveError


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds -I and --include."""
    parser.add_argument(
        *("-I", "--include"),
        metavar="FOLDER",
        type=Path,
        action="append",
        default=[],
        help="a folder in which the imports of a .proto are looked for, before the .proto's own folder and those above "
        "it, up to the git repository's; may be repeated",
    )


@contextmanager
def given(folders: Sequence[Path]) -> Iterator[None]:
    """The environment names the folders, or has those that it named before with absolute paths.

    Raises ProtoserveError for a name that it cannot hold.
    """
    from plumbum import local  # Copier's tasks run in plumbum's copy of the environment

    from protoserve.intake.proto.include import VARIABLE, from_environment  # reads schemas, which takes its time

    paths = [os.path.abspath(folder) for folder in folders or from_environment(Path.cwd())]
    for path in paths:
        if os.pathsep in path:
            raise ProtoserveError(f"-I {path}: a folder with {os.pathsep!r} in its path cannot be given: rename it")
    before, os.environ[VARIABLE] = os.environ.get(VARIABLE, ""), os.pathsep.join(paths)
    try:
        with local.env(**{VARIABLE: os.environ[VARIABLE]}):
            yield
    finally:
        os.environ[VARIABLE] = before
