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
HEADS = ("reduced dynamics", "output outside the trained range", "activity")


def main(solutions: int = 3, pictures: Path = PICTURES) -> None:
    """A row a solution under the count of all; pictures keep the scale that they have in print."""
    rows = [
        [plt.imread(pictures / f"{STEM}{row}-{name}.png") for name in COLUMNS]
        for row in range(solutions)
    ]
    first = plt.imread(pictures / f"{STEM}s.png")
    widths = [max(row[k].shape[1] for row in rows) for k in range(len(COLUMNS))]
    heights = [max(image.shape[0] for image in row) for row in rows]
    gap, head = 60, 90
    wide = first.shape[1] + sum(widths) + (len(COLUMNS) + 1) * gap
    high = sum(heights) + solutions * (gap + head) + head
    figure = plt.figure(figsize=(wide / 300, high / 300), dpi=150)

    def put(image: object, left: float, top: float) -> None:
        tall, across = image.shape[:2]  # type: ignore[attr-defined]
        axes = figure.add_axes((left / wide, 1 - (top + tall) / high, across / wide, tall / high))
        axes.imshow(image, interpolation="lanczos")
        axes.axis("off")

    def say(text: str, left: float, top: float, **options: object) -> None:
        figure.text(left / wide, 1 - top / high, text, va="top", **options)

    say("who found what", gap / 2, 20, fontsize=11, weight="bold")
    put(first, gap / 2, head + head)
    lefts = [first.shape[1] + gap + sum(widths[:k]) + (k + 0.5) * gap for k in range(len(widths))]
    for left, text in zip(lefts, HEADS, strict=True):
        say(text, left, 20, fontsize=11, weight="bold")
    top = head
    for number, (row, tall) in enumerate(zip(rows, heights, strict=True)):
        say(f"solution {number}", lefts[0], top + 15, fontsize=9)
        for left, image in zip(lefts, row, strict=True):
            put(image, left, top + head + (tall - image.shape[0]) / 2)
        top += tall + gap + head
    target = ROOT / "docs" / "images" / "overview.png"
    target.parent.mkdir(exist_ok=True)
    figure.savefig(target)


if __name__ == "__main__":
    main()
