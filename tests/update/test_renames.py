"""The table of renames: folders, names that changed twice, and an author who had a file of the new name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from protoserve.platform.errors import ProtoserveError
from protoserve.project.lost_edits.renamed_files import later_names, parse_table
from releases import NEW, OLD, Work, edit, git, release
from support import ROOT

Fork = Callable[[Work], Path]
TABLE = """\
# A comment.
a.py -> b.py
src/{package}/server/ -> src/{package}/serving/   # a folder
b.py -> src/{package}/server.py
src/{package}/serving/x/ -> src/{package}/y/
"""


@pytest.mark.parametrize(
    ("old", "later"),
    [
        ("a.py", ["b.py", "src/iris/server.py"]),
        ("b.py", ["src/iris/server.py"]),
        ("src/iris/server/x/z.py", ["src/iris/serving/x/z.py", "src/iris/y/z.py"]),
        ("src/other/server/x/z.py", []),
        ("sub/a.py", []),
    ],
)
def test_a_file_is_followed_through_all_its_names(old: str, later: list[str]) -> None:
    assert list(later_names(old, parse_table(TABLE, "iris"))) == later


@pytest.mark.parametrize("line", ["a.py", "a.py b.py", "a/ -> b.py", "a.py -> b/"])
def test_a_row_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(ProtoserveError, match="OLD -> NEW"):
        parse_table(line, "iris")


def test_the_table_of_this_template_leads_to_files_that_it_has() -> None:
    rows = parse_table((ROOT / "generator/renames.txt").read_text(encoding="utf-8"), "{{package}}")
    left = [old for old, _ in rows if list(ROOT.glob(f"template/{old.rstrip('/')}*"))]
    assert left == [], "a name that was given up is used again"


@pytest.mark.slow
def test_edits_go_through_a_second_rename_and_with_a_folder(work: Work, fork: Fork) -> None:
    template = fork(work)
    server = "template/src/{{package}}/server"
    git(template, "mv", server, "template/src/{{package}}/serving")
    git(template, "mv", "template/tests/test_server.py.jinja", "template/tests/test_real_server.py.jinja")
    table = template / "generator/renames.txt"
    rows = "src/{package}/server/ -> src/{package}/serving/\ntests/test_server.py -> tests/test_real_server.py\n"
    table.write_text(table.read_text(encoding="utf-8") + rows, encoding="utf-8")
    edit(
        template / "template/src/{{package}}/serving/core/outcomes.py",
        "from enum import Enum, auto\n",
        "from enum import Enum, auto  # of 3.0\n",
    )
    release(template, "v3.0.0")
    for name in (OLD, "tests/test_smoke.py", "src/iris/server/core/outcomes.py", "src/iris/server/logs.py"):
        work.write(name, work.read(name) + "# Mine.\n")
    work.write("src/iris/server/mine.py", "MINE = True\n")
    (work.path / "src/iris/server/loading.py").unlink()
    work.commit()

    summary = work.update().stdout
    here = {path.relative_to(work.path / "src/iris").as_posix() for path in (work.path / "src/iris").glob("serv*/*.py")}
    assert "serving/loading.py" not in here
    assert {name for name in here if name.startswith("server/")} == {"server/mine.py"}
    for name in ("src/iris/serving/transports/healthiness.py", "src/iris/serving/logs.py", "tests/test_real_server.py"):
        assert work.read(name).endswith("# Mine.\n"), name
    assert "import grpc  # renamed in 2.0\n" in work.read("src/iris/serving/transports/healthiness.py")
    errors = work.read("src/iris/serving/core/outcomes.py")
    assert errors.endswith("# Mine.\n")
    assert "from enum import Enum, auto  # of 3.0\n" in errors
    assert f"{OLD} is now src/iris/serving/transports/healthiness.py: your edits are in it" in summary


@pytest.mark.slow
def test_a_file_of_the_authors_at_the_new_name_is_not_written_over(work: Work) -> None:
    work.write(NEW, "MINE = True\n")
    work.write(OLD, work.read(OLD) + "# Mine.\n")
    work.commit()
    done = work.update(check=False)
    assert done.returncode == 3
    assert "MINE = True\n" in work.read(NEW)
    assert work.read(OLD).endswith("# Mine.\n")
    assert f"- {OLD}: it is now {NEW}, where you have a file of your own" in done.stdout
    assert f"- `{OLD}`" in done.stdout
    assert f"- `{NEW}`" in done.stdout
