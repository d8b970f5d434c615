"""Which names can be used: by protobuf, by `buf lint`, by Python and by the code that is generated.

Each check gives None for a good name, else what is wrong with it and what to do. Names that protoc takes and
Python cannot use are known from trying them: keywords vanish from the stubs, a field named like a built-in type hides
it from the fields below, a package named like an installed one is never imported.
"""

from __future__ import annotations

import builtins
import keyword
import re
import sys
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from protoserve.schema.types import ALIASES, SCALARS

Complaint = tuple[str, str]

_SNAKE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PASCAL = re.compile(r"[A-Z][A-Za-z0-9]*")
_VALUE = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*")
_VERSION = re.compile(r"v[1-9][0-9]*(?:(?:alpha|beta)[1-9][0-9]*)?")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z0-9])(?=[A-Z][a-z])")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What the stubs and the generated dataclasses say inside a class: a field of that name would hide it.
_IN_CLASS = _words("bool int float str bytes list dict datetime timedelta np Json self")
_IN_DATACLASS = _IN_CLASS | _words("NDArray _field")
# Attributes of messages that protobuf's own JSON needs: a field of that name hides them there.
_USED_BY_JSON = _words("DESCRIPTOR ListFields SetInParent")
# Names that protoc's module of stubs has for itself, at its top.
_STUB_GLOBALS = _words(
    "DESCRIPTOR _builder _descriptor _descriptor_pool _globals _runtime_version _sym_db _symbol_database"
)
# google.protobuf.message.Message's own; none is lower_snake_case, but the reason is worth telling.
_MESSAGE_METHODS = _words(
    "ByteSize Clear ClearExtension ClearField CopyFrom DESCRIPTOR DiscardUnknownFields Extensions"
    " FindInitializationErrors FromString HasExtension HasField IsInitialized ListFields MergeFrom MergeFromString"
    " ParseFromString RegisterExtension SerializePartialToString SerializeToString SetInParent UnknownFields"
    " WhichOneof"
)
# Names at the top of the generated module, of the contract package, and of the author's model.py.
_GENERATED = _words(
    "Any Callable Enum Final IntEnum InvalidReply InvalidRequest Iterable Iterator Json Literal METHODS Mapping Method"
    " Model ModelBroken ModelInterface NDArray Path Protocol RefusalCode RequestRefused Retired SERVICE Sequence"
    " TypeVar UTC Violation"
)
# Added to the built-ins after Python 3.11, so that the answer does not depend on the interpreter.
_BUILTINS = frozenset(dir(builtins)) | {"PythonFinalizationError"}
# Standard-library modules that one supported Python has and another has not.
_SOMETIMES_STANDARD = _words(
    "aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr imp lib2to3"
    " mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib test tests uu xdrlib"
)
_STANDARD = frozenset(sys.stdlib_module_names) | _SOMETIMES_STANDARD
_INSTALLED = _words(
    "aiohttp catboost google grpc grpc_health grpc_reflection grpc_status grpc_tools joblib keras lightgbm mlflow numpy"
    " onnx onnxruntime pandas pip pkg_resources protobuf protoserve re2 safetensors scipy setuptools sklearn skops"
    " skl2onnx tensorflow torch transformers uvloop xgboost"
)
# The project's own scripts, whose folders Python searches first when they run.
_SCRIPTS = _words(
    "before_adopt check_artifact generate grpc_client image_smoke predict propose_update smoke_report train"
)
# How frameworks write a dimension that can have any size: ONNX and Keras None, TensorFlow and MLflow -1.
ANY_SIZE = frozenset(("-1", "None", "null", "?", "*", ":", "..."))
# A method names a file, and so does each part of a package; a file's name has at most 255 bytes, with its suffix.
_LONGEST_FILE_NAME = 200
_LONGEST_PACKAGE = 1000
_LONGEST_NAME = 200  # of a field, a type, a value or a dimension, or of each part of a nested one's
_DEEPEST = 32  # types in types
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{index}" for port in ("com", "lpt") for index in range(1, 10))]
)


def python(name: str) -> str:
    """The name in Python of the .proto's message or enum: `Outer.Inner` is `OuterInner`, `any` is `AnyMessage`."""
    if name.startswith("google.protobuf."):
        return f"Protobuf{name.rpartition('.')[2]}"
    pascal_name = name if _PASCAL.fullmatch(name) else as_pascal(name)
    return f"{pascal_name}Message" if pascal_name in _GENERATED or pascal_name in _BUILTINS else pascal_name


def class_form(name: str) -> str:
    """What two classes of the generated module must not share: their readers are functions in snake_case."""
    return snake(name).replace("_", "").lower()


def distinct_python(full_name: str, in_proto: str, taken: Collection[str]) -> str:
    """The name in Python of an imported message or enum: that of a type of one's own, after as much of its package as
    makes its `class_form` differ from those `taken`.
    """
    parts = full_name.removesuffix(in_proto).rstrip(".").split(".")
    for count in range(len(parts) + 1):
        prefix = parts[len(parts) - count :]
        if len(prefix) == 1 and len(parts) > 1 and _VERSION.fullmatch(prefix[0]):
            continue  # the version alone says little
        name = python(".".join((*prefix, in_proto)))
        if class_form(name) not in taken:
            return name
    while class_form(name) in taken:
        name = f"{name}Imported"
    return name


def stub(name: str) -> str:
    """The name of the .proto's message or enum in the stubs, where an underscore follows a keyword."""
    return ".".join(f"{part}_" if keyword.iskeyword(part) else part for part in name.split("."))


def method_attribute(name: str) -> str:
    """The function in Python of the .proto's method: `Predict` is `predict`, `Import` is `import_`."""
    return f"{snake(name)}_" if keyword.iskeyword(snake(name)) else snake(name)


def value_attribute(name: str) -> str:
    """The member of Python's enum for a value of the .proto, in capitals: `warm` is `WARM`, `_x_` is `X_`."""
    capitals = name.upper()
    bare = capitals.strip("_")
    return f"{bare}_" if capitals.startswith("_") and bare != capitals[1:] and bare[:1].isalpha() else capitals


def field_attributes(names: Iterable[str], types: Collection[str]) -> dict[str, str]:
    """The attribute in Python of each field of a message: its name, but `class_` for `class`.

    `types` are the names of the messages and enums in Python, which a field of that name would hide.
    """
    names = tuple(names)
    taken = {*names}
    attributes = {}
    for name in names:
        attributes[name] = name
        if keyword.iskeyword(name) or name.startswith("__") or name in types or name in _IN_DATACLASS:
            bare = name.lstrip("_")
            attribute = f"{bare if bare[:1].isalpha() else f'x{bare}'}_"
            while attribute in taken or attribute in types or attribute in _IN_DATACLASS:
                attribute += "_"
            attributes[name] = attribute
            taken.add(attribute)
    return attributes


def version(package: str) -> str | None:
    """The version that a package ends in."""
    last = package.rpartition(".")[2]
    return last if _VERSION.fullmatch(last) else None


def folder(package: str, service: str) -> str:
    """The folders of a package's .proto and stubs: those of its parts, as buf's PACKAGE_DIRECTORY_MATCH asks.

    A package that cannot be Python's (`tensorflow.serving` would hide a library, `import.v1` has a keyword), and one
    that is empty, gets a folder of its own.
    """
    parts = package.split(".")
    if package and _hides(parts) is None:
        return "/".join(parts)
    return f"{'_'.join(parts).lower() or snake(service).lstrip('_')}_proto"


def snake(name: str) -> str:
    """`HTTPStatus` as `http_status`, cut into words as buf cuts them for ENUM_VALUE_PREFIX."""
    return _WORDS.sub("_", name).lower()


def enum_value(enum: str, value: str) -> str:
    """The name of an enum's value in the .proto, where all values of a package share one scope."""
    return f"{snake(enum)}_{value}".upper()


def json_name(field: str) -> str:
    """protoc's JSON name of a field: https://protobuf.dev/programming-guides/json/."""
    first, *others = field.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)


def map_entry(field: str) -> str:
    """The message that protoc makes for the entries of a map, inside the message that has the map."""
    return "".join(part[:1].upper() + part[1:] for part in field.split("_")) + "Entry"


def tensor(dtype: str) -> str:
    """The message that carries an array whose shape has a named dimension."""
    return f"{SCALARS[dtype].name.capitalize()}Tensor"


def as_snake(name: str) -> str:
    """The nearest lower_snake_case name; letters lose their accents."""
    decomposed = unicodedata.normalize("NFKD", snake(name).casefold())
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    snake_name = re.sub(r"[^a-z0-9]+", "_", letters).strip("_")
    return snake_name if snake_name and snake_name[0].isalpha() else f"x_{snake_name}".rstrip("_")


def as_pascal(name: str) -> str:
    """The nearest PascalCase name."""
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", name) if part]
    pascal_name = "".join(part[0].upper() + part[1:] for part in parts)
    return pascal_name if pascal_name and pascal_name[0].isalpha() else f"X{pascal_name}"


def field(name: str, what: str = "field", *, exact: bool = False) -> Complaint | None:
    """The name of a field or a oneof; an `exact` one is a foreign .proto's, in any style."""
    if (complaint := _too_long(name, what)) is not None:
        return complaint
    if exact:
        dunder = name.startswith("__") and name.endswith("__")
        if what == "field" and (dunder or name in _USED_BY_JSON):
            reason = f"a field named {name!r} would hide what protobuf's own Python needs of the message"
            return reason, f"rename it to {usable_field(name)!r}"
        return None if _IDENTIFIER.fullmatch(name) else (f"{name!r} is not a name", "write the name of the .proto")
    if name in _MESSAGE_METHODS or (name.startswith("__") and name.endswith("__")):
        return f"a {what} named {name!r} would hide the message's own attribute", f"rename it to {usable_field(name)!r}"
    if keyword.iskeyword(name):
        return f"{name!r} is a keyword of Python", f"rename it, to {usable_field(name)!r} for example"
    if name in _IN_CLASS:
        return f"{name!r} is a name that the generated code needs", f"rename it, to {name + '_value'!r} for example"
    if not _SNAKE.fullmatch(name):
        remedy = f"rename it to {usable_field(name)!r}"
        if _IDENTIFIER.fullmatch(name):
            return f"{name!r} is not lower_snake_case", remedy
        if what == "field":
            remedy += f" (with `source: {name!r}` if the model calls it so)"
        return f"{name!r} is not lower_snake_case, which has letters a-z, digits and underscores only", remedy
    return None


def usable_field(name: str) -> str:
    """The nearest name that a field can have."""
    snake_name = as_snake(name)
    return f"{snake_name}_value" if keyword.iskeyword(snake_name) or snake_name in _IN_CLASS else snake_name


def kind(name: str, what: str, *, exact: bool = False) -> Complaint | None:
    """The name of a message or an enum; of one inside another it is `Outer.Inner`."""
    if name in SCALARS or name in ALIASES:
        return f"{name!r} is the name of a type", f"rename the {what}"
    parts = name.split(".")
    if len(parts) > _DEEPEST:
        return f"the {what} is in {len(parts) - 1} others, one in the other", f"nest at most {_DEEPEST} levels"
    for index, part in enumerate(parts):
        complaint = identifier(part, what) if exact else pascal(part, what)
        if complaint is not None:
            return complaint
        if part in (_MESSAGE_METHODS if index else _STUB_GLOBALS):
            return f"{part!r} would hide an attribute that protobuf's Python needs", f"rename the {what}"
    if not exact and (name in _GENERATED or name in _BUILTINS):
        owner = "Python's" if name in _BUILTINS else "the generated code's"
        return f"{name!r} is {owner} own name", f"rename the {what}, to {name + 'Data'!r} for example"
    return None


def _too_long(name: str, what: str) -> Complaint | None:
    if len(name) <= _LONGEST_NAME:
        return None
    return f"the name of this {what} has {len(name)} characters", f"write at most {_LONGEST_NAME}"


def identifier(name: str, what: str) -> Complaint | None:
    """A name that a foreign .proto gave to anything that Python reaches by its name; a keyword gets an underscore."""
    if (complaint := _too_long(name, what)) is not None:
        return complaint
    if not _IDENTIFIER.fullmatch(name) or name.startswith("__"):
        return f"{name!r} is not a name that Python can use", f"rename the {what}"
    return None


def pascal(name: str, what: str) -> Complaint | None:
    """The name of a service, or of anything else that is a class."""
    if (complaint := _too_long(name, what)) is not None:
        return complaint
    if keyword.iskeyword(name):
        return f"{name!r} is a keyword of Python", f"rename the {what}, to {as_pascal(name) + 'Data'!r} for example"
    if not _PASCAL.fullmatch(name):
        return f"{name!r} is not PascalCase", f"rename the {what} to {as_pascal(name)!r}"
    return None


def method(name: str, *, exact: bool = False) -> Complaint | None:
    """A method is a class-like name in the .proto, a function in Python and a file name of its sample."""
    if len(name) > _LONGEST_FILE_NAME:
        limit = f"the {_LONGEST_FILE_NAME} that the name of a file can have here"
        return f"the name has {len(name)} characters, more than {limit}", "give the method a shorter name"
    complaint = identifier(name, "method") if exact else pascal(name, "method")
    if complaint is not None:
        return complaint
    if keyword.iskeyword(snake(name)) and not exact:
        return f"its Python name {snake(name)!r} is a keyword", f"rename the method, to {name + 'It'!r} for example"
    if name.lower() in _DEVICES:
        return f"{name!r} is a device on Windows and can name no file", f"rename the method, to {name + 'It'!r} say"
    return None


def value(name: str, *, exact: bool = False) -> Complaint | None:
    """The name of an enum's value, in any case; Python has it in capitals, and so has the .proto unless `exact`."""
    if (complaint := _too_long(name, "value")) is not None:
        return complaint
    if exact:
        usable = _IDENTIFIER.fullmatch(name) and name.strip("_") and not value_attribute(name).startswith("__")
        if not usable or name in _STUB_GLOBALS:
            return f"{name!r} is a name that Python cannot use for a value", "rename the value"
        return None
    if name.upper() == "UNSPECIFIED":
        return f"{name!r} is the value 0, which every enum has", "leave it out"
    if not _VALUE.fullmatch(name):
        what = "is not the name of a value, which has letters a-z, digits and underscores only"
        return f"{name!r} {what}", f"rename the value to {as_snake(name)!r}"
    return None


def any_size(size: str, kind: str, sizes: Sequence[str]) -> Complaint:
    """What to write for a dimension of any size; `kind` is the type of the elements, and empty where it is unknown."""
    named = [f"size_{index + 1}" if name in ANY_SIZE else name for index, name in enumerate(sizes)]
    named = ["batch" if sizes[0] in ANY_SIZE else named[0], *named[1:]]
    remedy = f"write `{kind}[{', '.join(named)}]`"
    if sizes[0] in ANY_SIZE and len(sizes) > 1:
        rest = ", ".join(named[1:])
        remedy += f"; or, if a request is one row, `{kind}[{rest}]`: the server itself makes batches of requests"
    elif len(sizes) == 1:
        row, items = (f"`{kind}`", f"`{kind}[]`") if kind else ("no shape", "`repeated: true`")
        remedy = f"if it is the number of rows, write {row}: a request is one row, and the server makes batches of "
        remedy += f"requests; else {items} for a list, or `{kind}[size]` for a tensor"
    return f"{size} does not say how large the dimension is; one of any size has a name", remedy


def dimension(name: str) -> Complaint | None:
    if (complaint := _too_long(name, "dimension")) is not None:
        return complaint
    if not name.isascii() or not name.isidentifier() or keyword.iskeyword(name):
        return f"{name!r} cannot name a dimension", "write an integer of at least 1 or a word such as height"
    return None


def import_path(path: str) -> Complaint | None:
    """The path of an imported .proto: that of a file in `proto/`, and of modules in Python."""
    remedy = "write a path such as common/tensor.proto, with letters, digits, `_`, `-` and `.` between slashes"
    parts = path.split("/")
    if not path.endswith(".proto") or not all(_FILE_NAME.fullmatch(part) and part[-1] != "." for part in parts):
        return f"{path!r} is not the path of a .proto to import", remedy
    device = next((part for part in parts if part.partition(".")[0].lower() in _DEVICES), None)
    if device is not None:
        return f"{device!r} is a device on Windows and can name no file or folder", "rename it where it comes from"
    if path.startswith("google/protobuf/"):
        return f"{path!r} is one of protobuf's own files, which are there already", "take it out"
    return None


def package(name: str, *, exact: bool = False) -> Complaint | None:
    """A proto package: folders under `src/` and a Python module path; for an `exact` one see `folder`."""
    parts = name.split(".")
    if len(name) > _LONGEST_PACKAGE or any(len(part) > _LONGEST_FILE_NAME for part in folder(name, "").split("/")):
        limits = f"{_LONGEST_FILE_NAME} characters in a part, {_LONGEST_PACKAGE} in all"
        return f"the package is longer than a path of folders can be here: {limits}", "give it a shorter name"
    if exact:
        good = not name or all(_IDENTIFIER.fullmatch(part) for part in parts)
        return None if good else (f"{name!r} is not a package", "write the package of the .proto")
    *parts, version = parts
    for part in (*parts, version):
        if not _SNAKE.fullmatch(part):
            example = ".".join(as_snake(piece) for piece in name.split(".") if piece) or "iris.v1"
            return f"the part {part!r} is not lower_snake_case", f"write {example!r} for example"
    complaint = _hides([*parts, version])
    if complaint is not None:
        return complaint
    if not _VERSION.fullmatch(version):
        return f"{name!r} does not end in a version", f"write '{name}.v1' (v2, v1alpha1 and v1beta1 are versions too)"
    if not parts:
        return f"{name!r} is a version only", "put a name before it: 'iris.v1'"
    return None


def _hides(parts: list[str]) -> Complaint | None:
    """What keeps the parts of a package from being a path of Python's modules."""
    for part in parts:
        if keyword.iskeyword(part):
            return f"the part {part!r} is a keyword of Python", f"rename it, to {part + '_api'!r} for example"
        if part.lower() in _DEVICES:
            return f"the part {part!r} is a device on Windows and can name no folder", "rename it"
        if part in ("google", "grpc"):
            return f"the part {part!r} hides the library of that name", f"rename it, to {part + '_api'!r} for example"
    if parts[0] in _STANDARD:
        return f"{parts[0]!r} is a module of Python's standard library", "begin with another name"
    if parts[0] in _INSTALLED:
        return f"{parts[0]!r} is the name of a library", "begin with another name"
    if parts[0] in _SCRIPTS:
        return f"{parts[0]!r} is the name of a script of the project", "begin with another name"
    return None


def clash(module: str, python_package: str) -> Complaint | None:
    """A package of stubs that would lie where the project's own modules do."""
    first, _, rest = module.partition(".")
    part = rest.partition(".")[0]
    if first == python_package and part in ("contract", "imported", "model", "server", "upgrade"):
        return f"{first}.{part} is a module of the project itself", f"rename the part {part!r}"
    return None
