"""Which template of a fleet a project's `_src_path` names: spellings of one source, and everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from protoserve.fleet.trust import identity, trusted_source

HTTPS = "https://git.example/platform/protoserve.git"


@pytest.mark.parametrize(
    "recorded",
    [
        HTTPS,
        "https://git.example/platform/protoserve",
        "https://git.example/platform/protoserve/",
        "https://bot:TOKEN@git.example/platform/protoserve.git",
        "https://GIT.example:443/platform/protoserve.git",
        "git+https://git.example/platform/protoserve.git",
        "git@git.example:platform/protoserve.git",
        "git@git.example:/platform/protoserve",
        "ssh://git@git.example/platform/protoserve.git",
        "ssh://git.example:22/platform/protoserve.git",
        "git+ssh://git@git.example/platform/protoserve.git",
    ],
)
def test_spellings_of_one_source(recorded: str) -> None:
    assert trusted_source(recorded, None, [HTTPS]) == HTTPS


@pytest.mark.parametrize(
    "recorded",
    [
        "",
        "https://git.example/platform/protoserve2.git",
        "https://git.example/platform/Protoserve.git",
        "https://git.example/platform/protoserve.git/../../evil",
        "https://git.example:8443/platform/protoserve.git",
        "https://git.example.evil/platform/protoserve.git",
        "https://evil/git.example/platform/protoserve.git",
        "https://git.example@evil/platform/protoserve.git",
        "ssh://mallory@git.example/platform/protoserve.git",
        "mallory@git.example:platform/protoserve.git",
        "http://git.example/platform/protoserve.git",
        "file://git.example/platform/protoserve.git",
        "//git.example/platform/protoserve",
        "git.example/platform/protoserve",
        "ext::sh -c 'touch x'",
        "https://git.example/platform/protoserve.git?x=1#y",
        "https://[::1/platform",
        "https://git.example:port/platform/protoserve.git",
        "\0",
    ],
)
def test_other_sources(recorded: str, tmp_path: Path) -> None:
    assert trusted_source(recorded, None, [HTTPS]) is None
    assert trusted_source(recorded, tmp_path, [HTTPS]) is None


def test_folders(tmp_path: Path) -> None:
    template = tmp_path / "protoserve"
    template.mkdir()
    (tmp_path / "link").symlink_to(template)
    (tmp_path / "bare.git").mkdir()
    templates = [str(template), str(tmp_path / "bare.git")]
    for recorded in (
        str(template),
        f"{template}/",
        f"file://{template}",
        str(tmp_path / "link"),
        f"{template}/../link",
    ):
        assert trusted_source(recorded, None, templates) == str(template)
    assert trusted_source(str(tmp_path / "bare"), None, templates) == str(tmp_path / "bare.git")
    project = tmp_path / "iris"
    assert trusted_source("../protoserve", project, templates) == str(template)
    assert trusted_source("../protoserve", None, templates) is None  # a URL has no folder that it could count from
    assert trusted_source("../other", project, templates) is None
    assert identity("gh:acme/x") == identity("https://github.com/acme/x.git") == identity("git@github.com:acme/x")
