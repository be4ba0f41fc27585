"""Compose docs/images/overview.png from the pictures that `make demo` saves."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "stores" / "demo_files"
STEM = "interval_reproduction-vanilla-solution"
COLUMNS = ("graph", "extrapolation", "trajectories")
HEADS = ("who found what", "reduced dynamics", "output outside the trained range", "activity")


def main(solutions: int = 3) -> None:
    figure = plt.figure(figsize=(13, 2.6 * solutions), dpi=110)
    grid = figure.add_gridspec(
        solutions,
        4,
        width_ratios=(1.25, 1, 1.25, 1.2),
        left=0.01,
        right=0.995,
        top=0.94,
        bottom=0.005,
        wspace=0.03,
        hspace=0.04,
    )
    _show(figure.add_subplot(grid[:, 0]), PICTURES / f"{STEM}s.png")
    for row in range(solutions):
        for column, name in enumerate(COLUMNS, start=1):
            axes = figure.add_subplot(grid[row, column])
            _show(axes, PICTURES / f"{STEM}{row}-{name}.png")
            if column == 1:
                box = axes.get_position()
                y = (box.y0 + box.y1) / 2 + 0.11
                figure.text(box.x0, y, f"solution {row}", fontsize=11, weight="bold")
    for column, head in enumerate(HEADS):
        box = figure.add_subplot(grid[0, column]).get_position()
        figure.axes[-1].axis("off")
        figure.text((box.x0 + box.x1) / 2, 0.965, head, fontsize=11, ha="center")
    target = ROOT / "docs" / "images" / "overview.png"
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target)


def _show(axes: plt.Axes, path: Path) -> None:
    axes.imshow(plt.imread(path), interpolation="lanczos")
    axes.axis("off")


if __name__ == "__main__":
    main()
