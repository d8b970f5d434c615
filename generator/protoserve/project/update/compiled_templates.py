"""Compiles each Jinja template once for all processes that render it: Copier does so for every file and every name.

It needs nothing of protoserve, since `generator_process` uses it beside another version of protoserve.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import CodeType
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache

# What the code of a template depends on besides its text (https://jinja.palletsprojects.com/en/stable/api/).
_OPTIONS = (
    *("block_start_string", "block_end_string", "variable_start_string", "variable_end_string"),
    *("comment_start_string", "comment_end_string", "line_statement_prefix", "line_comment_prefix"),
    *("trim_blocks", "lstrip_blocks", "newline_sequence", "keep_trailing_newline", "optimized", "autoescape"),
    *("is_async", "sandboxed"),
)


def share_compiled_templates(folder: Path) -> None:
    """From now on, this process keeps the code of templates in `folder`, and takes it from there."""
    folder.mkdir(parents=True, exist_ok=True)
    cache = FileSystemBytecodeCache(str(folder))
    compile_anew = Environment.compile
    known: dict[str, CodeType] = {}  # of this process, which renders some texts for each file

    def compile_once(
        self: Environment,
        source: Any,
        name: str | None = None,
        filename: str | None = None,
        raw: bool = False,
        defer_init: bool = False,
    ) -> Any:
        if raw or defer_init or not isinstance(source, str):
            return compile_anew(self, source, name, filename, raw, defer_init)  # type: ignore[call-overload]
        key = hashlib.sha256("\0".join([repr(name), source, *_options(self)]).encode()).hexdigest()
        if key not in known:
            bucket = cache.get_bucket(self, key, None, source)
            if bucket.code is None:
                bucket.code = compile_anew(self, source, name)
                cache.set_bucket(bucket)
            known[key] = bucket.code
        code = known[key]
        # The same template may lie in any folder, a temporary one among them.
        return code if filename is None else code.replace(co_filename=filename)

    Environment.compile = compile_once  # type: ignore[method-assign]


def _options(environment: Environment) -> list[str]:
    options = [repr(getattr(environment, name)) for name in _OPTIONS]
    return [*options, type(environment).__qualname__, *sorted(environment.extensions)]
