"""What a change of a contract breaks: comparing contracts with a git revision, and the gate before `generate`.

Other commands call `project_comparison.compare_with_revision(project, revision)`. It returns a `Comparison`, with its
`changes`, `verdict` and `breaking`, or raises a ProtoserveError.
"""

from protoserve.platform.errors import ProtoserveError


class CompatError(ProtoserveError):
    """Why contracts cannot be compared or changed, and what to do about it, in one line."""
