"""What several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest


def reference_path(*parts: str) -> Path:
    """A path in ``shared/reference`` beside the checkout, or skip where that is absent."""
    path = Path(__file__).resolve().parents[2].joinpath("shared", "reference", *parts)
    if not path.exists():
        pytest.skip("needs the folder shared/reference beside the checkout")
    return path
