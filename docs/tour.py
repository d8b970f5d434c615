"""Makes docs/tour.svg: the README's minute, run for real, as a picture of the terminal.

python docs/tour.py        (with `pip install -e '.[dev]'`; takes a minute)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).resolve().parent
SCHEMA = "age: int32, income: float64 -> limit: float64, approved: bool"
WRONG = '{"age": 40, "income": "NaN"}'


def main() -> int:
    console = Console(record=True, width=108, force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as temporary:
        folder, bin_ = Path(temporary), Path(sys.executable).parent
        project = folder / "credit"
        show(console, f"protoserve new credit --schema '{SCHEMA}' --defaults")
        new = [str(bin_ / "protoserve"), "new", "credit", "--schema", SCHEMA, "--defaults"]
        subprocess.run(new, cwd=folder, check=True, capture_output=True)
        show(console, "cd credit && make setup")
        venv.create(project / ".venv", with_pip=True)
        python = str(project / ".venv/bin/python")
        subprocess.run([python, "-m", "pip", "install", "-q", "-e", "."], cwd=project, check=True, capture_output=True)
        show(console, "sed -n '/^methods/,$p' schema.yaml")
        console.print(
            Text((project / "schema.yaml").read_text("utf-8").partition("\nmethods")[2].join(["methods", ""]))
        )
        show(console, "make model")
        told(console, [python, "train.py"], project)
        show(console, "make serve &")
        environment = {**os.environ, "PORT": "9000"}
        server = subprocess.Popen(
            [python, "-m", "credit.server"], cwd=project, env=environment, stderr=subprocess.DEVNULL
        )
        try:
            show(console, "make predict")
            told(console, [python, "scripts/predict.py", "--wait", "60"], project)
            show(console, f".venv/bin/python scripts/predict.py --data '{WRONG}'")
            told(console, [python, "scripts/predict.py", "--data", WRONG], project, code=1)
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(60)
        show(console, "kill -TERM %1; wait %1; echo $?")
        console.print(str(code))
    console.save_svg(str(HERE / "tour.svg"), title="protoserve")
    return 0


def show(console: Console, command: str) -> None:
    console.print(Text("$ ", style="green").append(command, style="bold"))


def told(console: Console, command: list[str], folder: Path, code: int = 0) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise SystemExit(f"{command} exited {done.returncode}, not {code}:\n{done.stdout}{done.stderr}")
    console.print(Text((done.stdout + done.stderr).rstrip()))


if __name__ == "__main__":
    sys.exit(main())
