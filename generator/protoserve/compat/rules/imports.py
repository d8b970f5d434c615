"""The files that a contract imports; what they declare is compared like everything else."""

from __future__ import annotations

from protoserve.compat.change import Changes
from protoserve.compat.rules.proto_options import compare_options
from protoserve.schema.model import Contract


def compare_imports(old: Contract, new: Contract, changes: Changes) -> None:
    """Reports files that are imported now, that no longer are, and options that changed."""
    before = {item.path: item for item in old.imports}
    after = {item.path: item for item in new.imports}
    for path, was in before.items():
        if path not in after:
            where = new.where("imports")
            changes.add(was.where.path, where, "import-removed", (), "what it declares is reported where it was used")
    for path, now in after.items():
        if path not in before:
            changes.add(now.where.path, now.where, "import-added", (), "new")
        else:
            compare_options(before[path].options, now.options, now.where.path, now.where, changes)
