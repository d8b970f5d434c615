"""The rules of files and of contracts."""

from __future__ import annotations

import pytest

from policies import TODAY, read
from protoserve.policy.patterns import globs
from protoserve.schema.load import loads

GLOBS = [
    ("Dockerfile", ["Dockerfile"], ["a/Dockerfile", "Dockerfile2"]),
    ("*.md", ["README.md", ".md"], ["docs/a.md"]),
    ("src/*/server/**", ["src/iris/server/a.py", "src/iris/server/core/b.py"], ["src/server/a.py", "src/a/b/server/c"]),
    ("**/*.py", ["a.py", "a/b/c.py"], ["a.pyi"]),
    ("deploy/**/base/*", ["deploy/base/a", "deploy/x/y/base/a"], ["deploy/base/a/b"]),
    ("**", ["a", ".github/workflows/ci.yml"], []),
    ("file-?.t[a-c]t", ["file-1.tat"], ["file-12.tat", "file-1.tdt", "file-/.tat"]),
    ("[!a]*", ["b", "bc"], ["a", "b/c"]),
    ("a.b+(c)$", ["a.b+(c)$"], ["axb+(c)$"]),
    ("naïve.txt", ["naïve.txt"], ["naive.txt"]),
]


@pytest.mark.parametrize(("glob", "matched", "others"), GLOBS, ids=[row[0] for row in GLOBS])
def test_a_glob(glob: str, matched: list[str], others: list[str]) -> None:
    matches = globs([glob])
    assert [path for path in matched if not matches(path)] == []
    assert [path for path in others if matches(path)] == []


def test_files_that_are_edited_or_deleted() -> None:
    policy = read(
        "files:\n"
        '- {unedited: [Dockerfile, "src/*/server/**"], why: audited}\n'
        '- {undeleted: [LICENSE, "*.toml"], why: the law}\n'
        "exceptions: [{project: old, rule: files.undeleted, until: 2027-01-01, why: soon}]\n"
    )
    edited, deleted = ["src/iris/server/a.py", "LICENSE", "README.md"], ["Dockerfile", "pyproject.toml"]
    said = [(item.rule, item.where, item.message) for item in policy.files(edited, deleted, "new", TODAY)]
    assert said == [
        ("files.unedited", "Dockerfile", "Dockerfile must be as the template has it, and it is deleted"),
        ("files.undeleted", "pyproject.toml", "pyproject.toml must not be deleted"),
        (
            "files.unedited",
            "src/iris/server/a.py",
            "src/iris/server/a.py must be as the template has it, and it is edited",
        ),
    ]
    (excepted,) = [item for item in policy.files(edited, deleted, "old", TODAY) if item.exception]
    assert excepted.rule == "files.undeleted"
    assert policy.governs_file("Dockerfile")
    assert not policy.governs_file("README.md")


SCHEMA = """\
package: fraud.v1
methods:
  Predict:
    request:
      fields:
      - {name: amount, type: float64, number: 1}
    response: {fields: [{name: score, type: float64, number: 1}]}
  Explain:
    request:
      fields:
      - {name: request_id, type: int64, number: 1}
      - {name: tags, type: string, repeated: true, number: 2}
    response: {fields: [{name: text, type: string, number: 1}]}
"""


def test_contracts() -> None:
    contract, rule = loads(SCHEMA), "contract.request_fields"
    policy = read(
        "contract:\n"
        "- {package: 'risk[.].*', status: stable, why: the gateway}\n"
        "- {request_fields: {request_id: string, 'tags': 'string[]'}, why: the audit}\n"
    )
    said = [
        (item.rule, item.where.rpartition(":")[0], item.message) for item in policy.contract([contract], "x", TODAY)
    ]
    assert said == [
        ("contract.package", "schema.yaml:1", "package must match risk[.].*, not be fraud.v1"),
        ("contract.status", "schema.yaml:1", "status must be stable, not draft"),
        (rule, "schema.yaml:5", "the request of Predict must have the field request_id, of type string"),
        (rule, "schema.yaml:5", "the request of Predict must have the field tags, of type string[]"),
        (rule, "schema.yaml:11", "request_id in the request of Explain must be of type string, not int64"),
    ]
    allowed = loads(SCHEMA.replace("fraud.v1", "risk.fraud.v1").replace("methods:", "status: stable\nmethods:", 1))
    assert [item.rule for item in policy.contract([allowed], "x", TODAY)] == ["contract.request_fields"] * 3
