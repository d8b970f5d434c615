"""The results of a run as tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from peer_catalog import OWN_SERVERS, PEERS

MODELS = {"sklearn": "scikit-learn", "onnx": "ONNX Runtime"}
PROTOCOLS = {"grpc": "gRPC", "http": "HTTP"}


def markdown(report: Mapping[str, Any]) -> str:
    """Everything that a run has found out."""
    parts = [f"{report['date']}, {report['machine']}, {report['rounds']} rounds"]
    for result in report["results"]:
        parts.append(f"**{title(result)}**\n\n{_TABLES[result['part']](result)}{_reasons(result)}")
    if report["versions"]:
        lines = [f"- {name}: {_listed(versions)}" for name, versions in sorted(report["versions"].items())]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def title(result: Mapping[str, Any]) -> str:
    """What was measured, such as `scikit-learn over gRPC`."""
    return f"{MODELS[result['model']]} over {PROTOCOLS[result['protocol']]}"


def server_title(name: str) -> str:
    """The name of a server for readers."""
    return (OWN_SERVERS.get(name) or PEERS[name]).title


def _rates(result: Mapping[str, Any]) -> str:
    counts = list(next(iter(result["servers"].values()), {}))
    rows = [
        [
            server_title(name),
            (OWN_SERVERS.get(name) or PEERS[name]).batching,
            *(f"{figures[count]['rate']:.0f} ({figures[count]['ratio']:.2f})" for count in counts),
            f"{figures[counts[-1]]['cpu_microseconds']:.0f}",
        ]
        for name, figures in result["servers"].items()
    ]
    table = _table(["server", "batches", *(f"{count} in flight" for count in counts), "CPU µs a request"], rows)
    return f"{table}\n\n{result['checked_replies']:,} replies were checked."


def _promises(result: Mapping[str, Any]) -> str:
    rows = []
    for name, figures in result["servers"].items():
        lost = figures.get("sigterm")
        rows.append(
            [
                server_title(name),
                _health(figures.get("health_under_load")),
                _health(figures.get("health_under_a_held_lock")),
                f"{lost['lost']} of {lost['in_flight']}" if lost else "",
                f"{lost['refused']} of {lost['refused'] + lost['answered_after']}" if lost else "",
            ]
        )
    header = [
        "server",
        "slowest health, 64 in flight",
        "slowest health, lock held for 2 s",
        "lost at SIGTERM",
        "refused in the 0.8 s after it",
    ]
    return _table(header, rows)


_TABLES = {"rates": _rates, "promises": _promises}


def _health(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "has none"
    failures = f", {found['failures']:.0f} of {found['asked']:.0f} failed" if found["failures"] else ""
    return f"{found['slowest_ms']:.0f} ms{failures}"


def _reasons(result: Mapping[str, Any]) -> str:
    lines = [
        f"- {server_title(name)}: {' '.join(reason.split())}" for name, reason in result["without_figures"].items()
    ]
    return "\n\nWithout figures:\n\n" + "\n".join(lines) if lines else ""


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in versions.items())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
