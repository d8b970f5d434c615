"""Draws the rates of `peers.py`, which starts this in an environment with matplotlib: `peers_plot.py SVG < REPORTS`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt

OURS, OTHERS = ("#0b4f8a", "#2f7fc1", "#9cc4e4"), ("#5a5a5a", "#8f8f8f", "#c9c9c9")
BAR = 0.26


def draw(axes: Any, result: Mapping[str, Any]) -> None:
    """Bars of the requests a second of each server, by the number in flight."""
    names = list(result["servers"])[::-1]
    for place, name in enumerate(names):
        colours = OURS if name.startswith("protoserve") else OTHERS
        for step, (count, figures) in enumerate(reversed(result["servers"][name].items())):
            height = place + (step - 1) * BAR
            axes.barh(height, figures["rate"], BAR, color=colours[step])
            text = f" {figures['rate']:,.0f} · {count} in flight"
            axes.text(figures["rate"], height, text, va="center", fontsize=6.5)
    axes.set_yticks(range(len(names)), [result["titles"][name] for name in names])
    axes.set_title(result["title"], loc="left", fontsize=10)
    axes.set_xlim(0, 1.3 * max(figures["rate"] for server in result["servers"].values() for figures in server.values()))
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    plt.switch_backend("svg")
    plt.rcParams.update({"svg.hashsalt": "peers", "svg.fonttype": "none", "font.size": 9})
    results = json.load(sys.stdin)
    heights = [len(result["servers"]) for result in results]
    figure, panels = plt.subplots(
        len(results), 1, figsize=(8, 0.62 * sum(heights) + 0.6 * len(results)), height_ratios=heights, squeeze=False
    )
    for axes, result in zip(panels[:, 0], results, strict=True):
        draw(axes, result)
    panels[-1, 0].set_xlabel("requests a second, one row each; server on one core, client on another")
    figure.tight_layout()
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
