"""The server of a protoserve project, started as its Dockerfile starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from protoserve.platform import answers
from protoserve.verify.address import Address, UsageError
from protoserve.verify.targets.process import ProcessServer, free_port


class ProjectServer(ProcessServer):
    """`python -m PACKAGE.server` in the project's own environment (`.venv`), else in this one, from `start()` on."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError if the folder has nothing to start."""
        try:
            package = str(answers.read(folder)["package"])
        except (answers.AnswersError, KeyError) as error:
            raise UsageError(f"{folder} is not a protoserve project: {error}") from None
        artifacts = [path for path in (folder / "artifacts").glob("[!.]*") if not path.name.startswith("partial-")]
        if not (artifacts or os.environ.get("MODEL_PATH")):
            raise UsageError(
                f"{folder}: artifacts/ is empty: put your model there, or train one: `make model` or `python train.py`"
            )
        own_python = folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        python = own_python if own_python.exists() else Path(sys.executable)
        address = Address("127.0.0.1", free_port())
        variables = {
            "PYTHONPATH": str(folder.resolve() / "src"),
            "PORT": str(address.port),
            "LOG_FORMAT": "text",
        }
        super().__init__([str(python), "-m", f"{package}.server"], variables, address, folder)
