"""Which networks are classified, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solspace.errors import SolspaceError

__all__ = ["OTHER", "Classes", "as_text", "form_classes"]

OTHER = "other"

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Classes:
    """Which networks are classified, and as what.

    Attributes
    ----------
    name : tuple of str
        Of each class, most common first.
    label : array (network,)
        Index into ``name``; -1 where a network is left out.
    reason : array of str (network,)
        Why a network is left out; empty where it is not.
    """

    name: tuple[str, ...]
    label: Labels
    reason: NDArray[Any]

    @property
    def used(self) -> NDArray[np.bool_]:
        return self.label >= 0

    def excluded(self) -> dict[str, int]:
        """How many networks were left out, by reason."""
        reasons, counts = np.unique(self.reason[~self.used].astype(str), return_counts=True)
        return dict(zip(reasons.tolist(), counts.tolist(), strict=True))


def form_classes(
    label: ArrayLike, features: ArrayLike, *, minimum_class_size: int = 10, small: str = "exclude"
) -> Classes:
    """Which networks can be classified: those of a class large enough, with finite features.

    Parameters
    ----------
    label : array (network,)
        Numbers, negative where unknown, or strings, empty where unknown.
    features : array (network, feature)
    minimum_class_size : int
        Networks a class has to have, as in the paper ten.
    small : {"exclude", "pool"}
        Networks of smaller classes are left out, as in the paper, or are one more class.

    Raises
    ------
    SolspaceError
        Where fewer than two classes are large enough.

    Examples
    --------
    >>> label = [0] * 12 + [1] * 10 + [2, -1]
    >>> classes = form_classes(label, np.zeros((24, 3)))
    >>> classes.name, classes.excluded()
    (('0', '1'), {'its class has fewer than 10 networks': 1, 'no label': 1})
    """
    if small not in ("exclude", "pool"):
        raise SolspaceError(f"small={small!r}; give 'exclude' or 'pool'")
    if minimum_class_size < 2:
        raise SolspaceError(
            f"classes of {minimum_class_size} network; at least 2 are needed, one to learn from "
            "and one to hold out (the paper: 10)"
        )
    values = np.asarray(label)
    finite = np.isfinite(np.asarray(features, dtype=np.float64)).all(axis=1)
    text = as_text(values)
    known = text != ""
    reason = np.full(len(values), "", dtype=object)
    reason[~finite] = "features are not finite"
    reason[~known] = "no label"
    there = known & finite
    names, counts = np.unique(text[there], return_counts=True)
    large = sorted(
        (
            (-c, _natural(n), n)
            for n, c in zip(names.tolist(), counts.tolist(), strict=True)
            if c >= minimum_class_size
        )
    )
    kept = [n for _, _, n in large]
    few = there & ~np.isin(text, kept)
    if small == "pool" and few.sum() >= minimum_class_size:
        text = np.where(few, OTHER, text)
        kept.append(OTHER)
    else:
        reason[few] = f"its class has fewer than {minimum_class_size} networks"
    if len(kept) < 2:
        found = ", ".join(
            f"{n}: {c}" for n, c in sorted(zip(names, counts, strict=True), key=lambda p: -p[1])[:5]
        )
        raise SolspaceError(
            f"{len(kept)} class{'es' * (len(kept) != 1)} of {minimum_class_size} networks or more "
            f"among {int(there.sum())} with a label and finite features (largest: "
            f"{found or 'none'}); two are needed: give more networks, or a smaller "
            "`minimum_class_size`"
        )
    number = {n: i for i, n in enumerate(kept)}
    out = np.array(
        [number.get(t, -1) if r == "" else -1 for t, r in zip(text.tolist(), reason, strict=True)]
    )
    return Classes(tuple(kept), out.astype(np.int64), reason)


def as_text(label: NDArray[Any]) -> NDArray[Any]:
    """Labels as strings, empty where unknown."""
    if label.dtype.kind in "OTU":
        return np.array([str(v) for v in label], dtype="U")
    return np.where(label < 0, "", label.astype("U"))


def _natural(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (1 << 62, name)
