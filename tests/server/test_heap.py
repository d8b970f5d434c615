"""What the C library is asked to keep, and what leaves it alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support import server_module


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "OTHER"])
def test_the_environment_decides_what_stays_free(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    heap = server_module("heap")
    calls: list[tuple[str, int, int]] = []

    def function(name: str) -> Callable[[int, int], None]:
        return lambda option, value: calls.append((name, option, value))

    monkeypatch.setattr(heap, "_of_c_library", function)
    heap.keep_some({name: "1"})
    expected = [("mallopt", -3, 2**25), ("mallopt", -1, 2**25)] if name == "OTHER" else []
    assert calls == expected
    monkeypatch.setattr(heap, "_of_c_library", lambda name: None)  # not glibc
    heap.keep_some({})
