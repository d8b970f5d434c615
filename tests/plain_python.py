"""The interpreter of the tests as a user has it: a `python3` with nothing installed, and nothing else beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support import made_once, run

_INTERPRETER = Path(sys.base_prefix) / "bin" / "python3"

# What `-m venv` does once and for all is most of its time, seconds of a processor: it installs and compiles pip.
_COMMAND = """\
#!/bin/sh
if [ $# = 3 ] && [ "$1 $2" = "-m venv" ]; then
    set -e
    mkdir -p "$3"
    cp -Rp '{made}/.' "$3"
    folder=$(cd "$3" && pwd)
    for file in "$folder"/pyvenv.cfg "$folder"/bin/*; do
        test -L "$file" || sed -i "s|{made}|$folder|g" "$file"
    done
    exit
fi
exec '{interpreter}' "$@"
"""


def plain_python(factory: pytest.TempPathFactory) -> Path:
    """The folder of that command. Its `python3 -m venv FOLDER` copies an environment that Python has made."""

    def make(folder: Path) -> None:
        folder.mkdir()
        made = folder / "made"
        run([_INTERPRETER, "-m", "venv", made], cwd=folder)
        (folder / "bin").mkdir()
        command = folder / "bin" / "python3"
        command.write_text(_COMMAND.format(made=made, interpreter=_INTERPRETER), encoding="utf-8")
        command.chmod(0o755)

    return made_once(factory, "plain-python", make) / "bin"
