"""Panels of a figure beside each other, as a notebook shows them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

__all__ = ["panels", "side_by_side"]

GAP = 24


def panels(
    draw: Callable[[xr.DataTree, Path], dict[str, Path]], tree: xr.DataTree
) -> dict[str, Any]:
    """The pictures that a figure's ``draw`` makes, in memory, by panel."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for name, path in draw(tree, Path(folder)).items():
            with Image.open(path) as picture:
                made[name] = picture.convert("RGB")
    return made


def side_by_side(made: dict[str, Any], names: Sequence[str], *, width: int = 1400) -> Any:
    """Some of the panels in one row, on white, no wider than ``width`` pixels."""
    from PIL import Image

    row = [made[name] for name in names if name in made]
    whole = sum(p.width for p in row) + GAP * (len(row) - 1)
    canvas = Image.new("RGB", (whole, max(p.height for p in row)), "white")
    at = 0
    for picture in row:
        canvas.paste(picture, (at, (canvas.height - picture.height) // 2))
        at += picture.width + GAP
    if whole > width:
        canvas = canvas.resize(
            (width, round(canvas.height * width / whole)), Image.Resampling.LANCZOS
        )
    return canvas
