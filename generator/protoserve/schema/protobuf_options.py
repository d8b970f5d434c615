"""Standard options of protobuf that a schema may have: they change nothing in Python and stand in the .proto.

The table is that of google/protobuf/descriptor.proto. What is not in it has a key of its own here (`deprecated` of a
field, `json_name`), or is refused (options of one's own, editions' features).
"""

from __future__ import annotations

from protoserve.platform.plain_text import escaped
from protoserve.platform.yaml_tree import Mapping, Scalar
from protoserve.schema.mapping_reader import Section, described
from protoserve.schema.model import Options

Choice = tuple[str, ...]
_TEXT: Choice = ()
_FLAG: Choice = ("true", "false")

# The values that an option can have; none for any text.
OPTIONS: dict[str, dict[str, Choice]] = {
    "file": {
        **dict.fromkeys(("java_package", "java_outer_classname", "go_package", "objc_class_prefix"), _TEXT),
        **dict.fromkeys(("csharp_namespace", "swift_prefix", "php_class_prefix", "php_namespace"), _TEXT),
        **dict.fromkeys(("php_metadata_namespace", "ruby_package"), _TEXT),
        **dict.fromkeys(("java_multiple_files", "java_generate_equals_and_hash", "java_string_check_utf8"), _FLAG),
        **dict.fromkeys(("cc_generic_services", "java_generic_services", "py_generic_services"), _FLAG),
        **dict.fromkeys(("cc_enable_arenas", "deprecated"), _FLAG),
        "optimize_for": ("SPEED", "CODE_SIZE", "LITE_RUNTIME"),
    },
    "message": dict.fromkeys(("deprecated", "no_standard_descriptor_accessor"), _FLAG),
    "field": {
        **dict.fromkeys(("packed", "lazy", "unverified_lazy", "debug_redact"), _FLAG),
        "ctype": ("STRING", "CORD", "STRING_PIECE"),
        "jstype": ("JS_NORMAL", "JS_STRING", "JS_NUMBER"),
    },
    "enum": dict.fromkeys(("allow_alias", "deprecated"), _FLAG),
    "value": dict.fromkeys(("deprecated", "debug_redact"), _FLAG),
    "service": {"deprecated": _FLAG},
    "method": {
        "deprecated": _FLAG,
        "idempotency_level": ("IDEMPOTENCY_UNKNOWN", "NO_SIDE_EFFECTS", "IDEMPOTENT"),
    },
}


def read(parent: Section, level: str, key: str = "options") -> Options:
    """The options below `key`, sorted by name as `buf format` has them; what is wrong is reported."""
    section = parent.section(key)
    if section is None:
        return ()
    known = OPTIONS[level]
    section.allow(known)
    options: list[tuple[str, bool | str]] = []
    for name in sorted(set(section.keys) & known.keys()):
        node = section.node_of(name)
        value = node.value if isinstance(node, Scalar) else None
        wanted = known[name]
        flag = wanted is _FLAG and isinstance(value, bool)
        text = wanted is not _FLAG and isinstance(value, str) and (not wanted or value in wanted)
        if (flag or text) and isinstance(value, (bool, str)):
            options.append((name, value))
        else:
            what = "true or false" if wanted is _FLAG else " or ".join(wanted) or "a text"
            got = described(node) if isinstance(node, (Scalar, Mapping)) else "a list"
            section.report(name, f"{name!r} must be {what}, not {got}", f"write {what}")
    return tuple(options)


def written(option: tuple[str, bool | str]) -> str:
    """An option as a .proto says it: `go_package = "x"`."""
    name, value = option
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}"
    text = name in OPTIONS["file"] and OPTIONS["file"][name] is _TEXT
    return f"{name} = {quoted(value) if text else value}"


def quoted(text: str) -> str:
    """A text as a .proto has it, in quotes; what protoc would not read there is an escape."""
    quotable = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped(quotable, _octal)}"'


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode())
