"""Policies for the tests, in the words of a policy.yaml."""

from __future__ import annotations

from datetime import date

from protoserve.policy.load import Questions, loads
from protoserve.policy.model import Policy

TODAY = date(2026, 11, 30)
NAMES = ("project_name", "package", "framework", "port", "schema", "python_version", "platforms", "transport", "team")
NAMES += ("adopted",)

# That of the and the documentation's example, with a contract.
AUDITED = """\
answers:
  properties:
    framework: {enum: [python, sklearn], why: other frameworks have no on-call team}
    port: {minimum: 8000, maximum: 9999, why: the mesh routes these}
files:
  unedited: [Dockerfile, "src/*/server/**"]
  why: the base image and the server are audited
contract:
  - {package: 'risk[.].*', why: the gateway finds models by this prefix}
  - {request_fields: {request_id: string}, why: the audit joins the logs by it}
exceptions:
  - {project: legacy-churn, rule: answers.port, until: 2027-03-31, why: moves with the old gateway}
"""


def read(text: str) -> Policy:
    """The policy of a template with the questions NAMES."""
    return loads(text, Questions(NAMES, frozenset()))
