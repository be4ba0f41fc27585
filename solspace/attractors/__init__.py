"""What networks settle to when they are left alone.

`settling` follows states in silence to points and cycles.
"""

from __future__ import annotations

from solspace.attractors.settling import Attractor, Attractors, Settling

__all__ = ["Attractor", "Attractors", "Settling"]
