"""How a project's contracts changed since a git revision, and what `generate` makes of that.

For other commands: `comparison.against(project, revision)` gives a `Comparison`, whose `changes`, `verdict` and
`breaking` say what there is to say; it raises `EvolveError`, `GitError`, `SchemaError` or `AnswersError`. The contracts
themselves are read by `contracts.on_disk` and `contracts.at_revision`, and compared by `comparison.between`.
"""

from protoserve.platform.errors import ProtoserveError


class EvolveError(ProtoserveError):
    """Why contracts cannot be compared or changed, in one line with what to do."""
