"""fleet.yaml: what it may contain, and what is wrong in it, each with its place and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from protoserve.fleet.fleet_file import FleetFileError, load
from protoserve.fleet.model import Project
from protoserve.platform.errors import ProtoserveError

HEAD = "templates: [https://git.example/platform/protoserve.git]\nprojects:\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_form_of_a_project(tmp_path: Path) -> None:
    for name in ("b", "a", "not-this"):
        (tmp_path / "models" / name).mkdir(parents=True)
    (tmp_path / "models" / "a-file").write_text("", encoding="utf-8")
    (tmp_path / "models" / "link-to-a").symlink_to("a")
    (tmp_path / "fleet").mkdir()
    text = """\
templates: [gh:acme/protoserve, ../protoserve]
projects:
  - https://bot:TOKEN@git.example/risk/fraud.git
  - {url: git@git.example:mono.git, branch: release/1, folder: services/churn/, owner: risk, labels: [eu, 7]}
  - {path: "../models/[abl]*", labels: [local]}
  - ../models/not-this
"""
    fleet = load(write(tmp_path / "fleet", text))
    assert fleet.templates == ("https://github.com/acme/protoserve.git", str(tmp_path / "protoserve"))
    assert fleet.projects == (
        Project("https://bot:TOKEN@git.example/risk/fraud.git", "https://bot:TOKEN@git.example/risk/fraud.git"),
        Project(
            "git@git.example:mono.git", "git@git.example:mono.git", "release/1", "services/churn", "risk", ("eu", "7")
        ),
        Project("../models/a", str(tmp_path / "models/a"), labels=("local",)),
        Project("../models/b", str(tmp_path / "models/b"), labels=("local",)),
        Project("../models/not-this", str(tmp_path / "models/not-this")),
    )
    names = [project.name for project in fleet.projects]
    assert names[:2] == ["https://git.example/risk/fraud.git", "git@git.example:mono.git#services/churn"]


BAD = [
    ("", "1:1: the file is empty; write `templates: [URL]` and"),
    ("- x\n", "1:1: fleet.yaml must be a mapping, not a list"),
    ("projects: [https://h.example/a]\n", "1:1: 'templates' is missing"),
    ("templates: []\nprojects: [https://h.example/a]\n", "1:12: templates: 'templates' lists no template"),
    ("templates: [gh:a/b]\nprojects: []\n", "2:11: projects: 'projects' is empty"),
    ("templates: [gh:a/b]\nproject: []\n", "2:1: project: unknown key 'project'; did you mean 'projects'?"),
    ("templates: gh:a/b\nprojects: [gh:a/c]\n", "1:12: templates: 'templates' must be a list, not the text 'gh:a/b'"),
    (HEAD + "  - 7\n", "3:5: projects[0]: must be a URL or a path, not the number 7"),
    (HEAD + "  - http://h.example/a\n", "3:5: projects[0]: must be a folder, a URL of https, ssh or file, git@HOST"),
    (HEAD + "  - ext::sh -c touch% /tmp/x\n", "3:5: projects[0]: must be a folder, a URL"),
    (HEAD + '  - "--upload-pack=touch x"\n', "3:5: projects[0]: must be a folder, a URL"),
    (HEAD + "  - {branch: main}\n", "3:5: projects[0]: a project needs either 'url' or 'path'"),
    (HEAD + "  - {url: gh:a/b, path: x}\n", "3:5: projects[0]: a project needs either 'url' or 'path'"),
    (HEAD + "  - {url: gh:a/b, label: [x]}\n", "3:19: projects[0].label: unknown key 'label'; write labels: [NAME]"),
    (HEAD + "  - {url: gh:a/b, ownr: x}\n", "3:19: projects[0].ownr: unknown key 'ownr'; did you mean 'owner'?"),
    (HEAD + "  - {url: gh:a/b, folder: ../x}\n", "3:27: projects[0].folder: 'folder' must be a path in the repository"),
    (HEAD + "  - {url: gh:a/b, folder: a/.GIT}\n", "3:27: projects[0].folder: 'folder' must be a path in the repo"),
    (HEAD + "  - {url: gh:a/b, branch: -x}\n", "3:27: projects[0].branch: 'branch' must be the name of a branch"),
    (HEAD + "  - {url: gh:a/b, branch: a..b}\n", "3:27: projects[0].branch: 'branch' must be the name of a branch"),
    (HEAD + "  - {url: gh:a/b, labels: eu}\n", "3:27: projects[0].labels: 'labels' must be a list, not the text 'eu'"),
    (HEAD + "  - {url: gh:a/b, labels: [[x]]}\n", "3:28: projects[0].labels[0]: must be a word, not a list"),
    (HEAD + "  - {path: nothing/*}\n", "3:12: projects[0].path: no folder matches 'nothing/*'"),
    (
        HEAD + "  - gh:a/b\n  - https://github.com/a/b.git\n",
        "4:5: projects[1]: https://github.com/a/b.git is listed twice (first on line 3)",
    ),
    (
        "templates: [gh:a/b]\nprojects: [gh:a/c, gh:a/c]\n",
        "2:20: projects[1]: gh:a/c is listed twice (first on line 2)",
    ),
    (HEAD + "  - gh:a/b\nprojects: []\n", "4:1: projects: the key appears twice (first on line 2)"),
    (HEAD + "  - &a gh:a/b\n", "3:5: an anchor (&a); take it out"),
    (HEAD + "  - {url: gh:a/b\n", "4:1: the file ends inside a bracket"),
]


@pytest.mark.parametrize(("text", "line"), BAD, ids=range(len(BAD)))
def test_what_is_wrong(text: str, line: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(FleetFileError) as caught:
        load(path)
    assert f"{path}:{line}" in caught.value.report()


def test_all_problems_at_once_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, "templates: [http://x]\nprojects:\n  - 7\n  - {owner: x}\n")
    with pytest.raises(FleetFileError) as caught:
        load(path)
    assert len(caught.value.problems) == 3
    with pytest.raises(ProtoserveError, match=r"nothing\.yaml does not exist, and it lists the projects of a fleet: w"):
        load(tmp_path / "nothing.yaml")
    many = "".join(f"  - gh:a/b{number}\n" for number in range(10_001))
    with pytest.raises(FleetFileError, match="there are more than 10000 projects"):
        load(write(tmp_path, HEAD + many))
