"""protoc's part: messages, gRPC stubs and the .pyi of both, without protoc's own headers."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import grpc_tools
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc
from mypy_protobuf.main import Descriptors, GRPCType, generate_mypy_grpc_stubs

from protoserve.emit import imported_stubs, stub_descriptor

# protoc writes `Mapping` without type parameters; in a class with a field `float` it takes later floats for that field.
# mypy-protobuf lets properties of deprecated methods override others of another type.
_UNTYPED = "# mypy: ignore-errors\n"
_LEADING_COMMENTS = re.compile(r"\A(?:#[^\n]*\n)+")
_OWN = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def paths(proto: str) -> list[str]:
    """The files that `compile_proto` writes."""
    return [proto.removesuffix(".proto") + suffix for suffix in _OWN] + [f"{PurePosixPath(proto).parent}/__init__.py"]


def paths_of_imports(imports: Sequence[str], package: str) -> list[str]:
    """The files that `compile_imports` writes."""
    names = []
    for path in imports:
        if path not in imported_stubs.LIBRARY_FILES:
            module = imported_stubs.module(path, package)
            names += [module.replace(".", "/") + suffix for suffix in (".py", ".pyi")]
            names += [f"{folder}/__init__.py" for folder in _packages(module)]
    return names


def compile_proto(root: Path, proto: str, imports: Sequence[str], package: str, out: Path, header: str) -> None:
    """Compiles `root/proto` into `out`, at the path of its package; every file begins with the line `header`.

    `imports` are all files that it imports, in a project with the Python package `package`. Raises RuntimeError with
    protoc's words: a sound contract always compiles, so it is a fault of protoserve's.
    """
    with tempfile.TemporaryDirectory(prefix="protoserve-") as temporary:
        made = Path(temporary)
        files = _compile(root, made, [f"--{kind}_out={made}" for kind in ("python", "pyi", "grpc_python")], [proto])
        _write_grpc_types(files, proto, made)
        for suffix in _OWN:
            name = proto.removesuffix(".proto") + suffix
            text = imported_stubs.with_imports(_without_header(made / name), imports, package)
            _write(out / name, _headed(header, name, text))
    _write(out / Path(proto).parent / "__init__.py", f"# {header}\n")


def compile_imports(root: Path, imports: Sequence[str], package: str, out: Path, header: str) -> None:
    """Compiles imported files that no library has the modules of into the project's package for them.

    `imports` are paths below `root`, with all that they import. Raises RuntimeError as above.
    """
    own = [path for path in imports if path not in imported_stubs.LIBRARY_FILES]
    if not own:
        return
    with tempfile.TemporaryDirectory(prefix="protoserve-") as temporary:
        made = Path(temporary)
        _compile(root, made, [f"--python_out={made}", f"--pyi_out={made}"], own)
        for path in own:
            target = out / imported_stubs.module(path, package).replace(".", "/")
            stub = made / imported_stubs.protoc_module(path).replace(".", "/")
            for suffix in (".py", ".pyi"):
                made_stub, name = stub.with_suffix(suffix), target.with_suffix(suffix)
                text = imported_stubs.with_imports(_without_header(made_stub), imports, package)
                _write(name, _headed(header, name.name, text))
            for folder in _packages(imported_stubs.module(path, package)):
                _write(out / folder / "__init__.py", f"# {header}\n")


def _headed(header: str, name: str, text: str) -> str:
    return f"# {header}\n{_UNTYPED if name.endswith('.pyi') else ''}{text}"


def _packages(module: str) -> Iterator[str]:
    """The folders above a module of an imported file, from the one that holds all of them."""
    parts = PurePosixPath(module.replace(".", "/")).parts[:-1]
    yield from ("/".join(parts[:count]) for count in range(2, len(parts) + 1))


def _compile(root: Path, made: Path, outputs: Sequence[str], protos: Sequence[str]) -> FileDescriptorSet:
    """Compiles files below `root` into the folder `made`; stubs that Python could not read are made once more.

    Returns the descriptors that the stubs are made of, each file after those that it imports.
    """
    includes = [f"--proto_path={folder}" for folder in (root, Path(grpc_tools.__file__).parent / "_proto")]
    described = made / "descriptors"
    describe = ["--include_imports", "--include_source_info", f"--descriptor_set_out={described}"]
    _run_protoc([*includes, *outputs, *describe, *protos])
    files = FileDescriptorSet.FromString(described.read_bytes())
    readable = stub_descriptor.readable(files)
    if readable is None:
        return files
    described.write_bytes(readable.files.SerializeToString())
    stubs = [output for output in outputs if not output.startswith("--python_out")]
    _run_protoc([f"--descriptor_set_in={described}", *stubs, *protos])
    for proto in protos:
        messages = made / imported_stubs.protoc_module(proto).replace(".", "/")
        _name_twice(messages, readable.aliases[proto], readable.literals[proto])
    return readable.files


def _write_grpc_types(files: FileDescriptorSet, proto: str, out: Path) -> None:
    """Writes the .pyi of the gRPC stubs, as protoc's plugin `protoc-gen-mypy_grpc` does in a process of its own."""
    request = CodeGeneratorRequest(file_to_generate=[proto], proto_file=files.file)
    response = CodeGeneratorResponse()
    generate_mypy_grpc_stubs(
        Descriptors(request),
        response,
        quiet=True,
        readable_stubs=False,
        relax_strict_optional_primitives=False,
        use_default_deprecation_warnings=False,
        generate_concrete_servicer_stubs=False,
        grpc_type=GRPCType.BOTH,
    )
    for file in response.file:
        _write(out / file.name, file.content)


def _name_twice(module: Path, aliases: Sequence[str], literals: Sequence[tuple[str, str]]) -> None:
    """Gives a module of messages its second names, and that of gRPC stubs, if there is one, those on the wire again."""
    with module.with_suffix(".py").open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in aliases)
    stubs = module.with_name(f"{module.name}_grpc.py")
    if stubs.exists():
        text = stubs.read_text(encoding="utf-8")
        for changed, on_the_wire in literals:
            text = text.replace(changed, on_the_wire)
        stubs.write_text(text, encoding="utf-8")


def _run_protoc(arguments: Sequence[str]) -> None:
    """Runs protoc in this process, which takes a fraction of the time of starting another one."""
    with tempfile.TemporaryFile() as errors:
        with _standard_error_to(errors.fileno()):
            code = protoc.main(["protoc", *arguments])
        errors.seek(0)
        printed = errors.read().decode(errors="replace")
    if code:
        raise RuntimeError(f"protoc refused {arguments[-1]}:\n{printed.strip()}")


@contextmanager
def _standard_error_to(descriptor: int) -> Iterator[None]:
    """Within the block, what C++ code writes to standard error goes there."""
    if sys.stderr is not None:
        sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _without_header(path: Path) -> str:
    return _LEADING_COMMENTS.sub("", path.read_text(encoding="utf-8"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
