"""Where the Python of an imported .proto lies, whatever its path is.

protoc derives a module from the path of a file: `common/tensor.proto` is `common.tensor_pb2` at the root of all
modules. There it could hide a library (`tensorflow/core/framework/tensor.proto`), a module of Python's own
(`code/v1.proto`), or be none that Python can import (`class/x.proto`). So the modules of imported files lie in a
package of the project, and stubs import them from there; the descriptors keep the paths of the files.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

FOLDER = "imported"
# The files whose modules come with googleapis-common-protos, which the server needs for the details of its errors. One
# process can hold each of them once, so a project must not have modules of its own for them.
_LIBRARY = {
    "google/api": "annotations auth backend billing client config_change consumer context control distribution"
    " documentation endpoint error_reason field_behavior field_info http httpbody label launch_stage log logging metric"
    " monitored_resource monitoring policy quota resource routing service source_info system_parameter usage"
    " visibility",
    "google/cloud": "common_resources extended_operations",
    "google/cloud/location": "locations",
    "google/gapic/metadata": "gapic_metadata",
    "google/logging/type": "http_request log_severity",
    "google/longrunning": "operations_proto",
    "google/rpc": "code error_details http status",
    "google/rpc/context": "attribute_context audit_context",
    "google/type": "calendar_period color date datetime dayofweek decimal expr fraction interval latlng localized_text"
    " money month phone_number postal_address quaternion timeofday",
}
LIBRARY_FILES = frozenset(f"{folder}/{name}.proto" for folder, names in _LIBRARY.items() for name in names.split())


def module(path: str, package: str) -> str:
    """The module with the messages of an imported .proto, in a project with this Python package."""
    if path in LIBRARY_FILES:
        return protoc_module(path)
    return ".".join([package, FOLDER, *(_importable(part) for part in protoc_module(path).split("."))])


def with_imports(stub: str, paths: Iterable[str], package: str) -> str:
    """A stub as protoc wrote it, importing the modules of these files from where they lie in the project."""
    for path in paths:
        old, new = protoc_module(path), module(path, package)
        if old == new:
            continue
        old_parent, _, old_name = old.rpartition(".")
        new_parent, _, new_name = new.rpartition(".")
        written = f"from {old_parent} import {old_name}" if old_parent else f"import {old_name}"
        stub = re.sub(
            rf"^{re.escape(written)} as ", f"from {new_parent} import {new_name} as ", stub, flags=re.MULTILINE
        )
        dynamic = rf"^(\w+) = importlib\.import_module\('{re.escape(old)}'\)$"  # what protoc writes for keywords
        stub = stub.replace(f"(DESCRIPTOR, '{old}', _globals)", f"(DESCRIPTOR, '{new}', _globals)")
        stub = re.sub(dynamic, rf"from {new_parent} import {new_name} as \1", stub, flags=re.MULTILINE)
    return stub


def protoc_module(path: str) -> str:
    """The module that protoc makes of a .proto."""
    return path.removesuffix(".proto").replace("-", "_").replace("/", ".") + "_pb2"


def _importable(part: str) -> str:
    """A part of a path as a part of a module's name."""
    if keyword.iskeyword(part):
        return f"{part}_"
    return f"_{part}" if part[0].isdigit() else part
