"""The diff of a project's template files is bounded, and each of its files is found again by the page."""

from __future__ import annotations

from pathlib import Path

from protoserve.fleet.page.diffs import read_diffs
from protoserve.fleet.status.template_diff import template_diff


def test_every_file_has_its_part_of_the_diff(tmp_path: Path) -> None:
    rendered, project = tmp_path / "rendered", tmp_path / "project"
    contents: dict[str, tuple[bytes, bytes | None]] = {
        "edited": (b"one\ntwo\n", b"one\r\n2\r\n"),
        "form feed": (b"one\x0ctwo\nend", b"one\x0c2\nend"),
        "deleted": (b"one\n", None),
        "binary": (b"\0", b"\1"),
        "large": (b"", b"x" * 200_001),
        "long": (b"", b"x\n" * 3_001),
        "cut": (b"", b"a line of a cut file\n" * 2_900),
        "cut, too": (b"", b"+++ b/other\n--- a/other\n" * 1_450),
        "last": (b"-- a/x\n", b"++ b/x\n"),
    }
    for name, (old, new) in contents.items():
        for folder, content in ((rendered, old), (project, new)):
            folder.mkdir(exist_ok=True)
            if content is not None:
                (folder / name).write_bytes(content)
    (rendered / "link").write_bytes(b"one\n")
    (project / "link").symlink_to("../rendered/edited")

    diff = template_diff(project, rendered, [*contents, "link"])
    assert 55_000 < len(diff) <= 60_100
    files = {file.path: file for file in read_diffs(diff, 100_000)}
    assert [*files] == [*contents, "link"]
    assert files["edited"].text == "@@ -1,2 +1,2 @@\n one\n-two\n+2"
    assert files["form feed"].text.splitlines()[1:3] == ["-one\\x0ctwo", "+one\\x0c2"]
    assert files["deleted"].text == "@@ -1 +0,0 @@\n-one"
    assert files["binary"].text == "(not shown: the file is not text)"
    assert files["large"].text == "(not shown: it is too large, or cannot be read)"
    assert files["long"].text == "(not shown: the file has more than 3000 lines)"
    assert files["link"].text == "(not shown: it is a link that leads to no file of the project)"
    for name, lines in (("cut", 2_900), ("cut, too", 2_900)):
        shown, _, rest = files[name].text.rpartition("\n")
        assert rest == f"({lines - shown.count(chr(10))} more lines)"
    assert files["last"].text.splitlines()[1:] == ["--- a/x", "+++ b/x"]
