"""What the paper reports that our figures are held against.

Turner, Dabholkar & Barak, *Charting and navigating the space of solutions for recurrent neural
networks* (NeurIPS 2021): sizes of the classes of graphs among 400 networks a population. Which
graph a class is, as `graph_key` writes it, was found by reducing some of the networks that the
authors published; where these were of two graphs, either is given.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLASSES", "KAPPA", "NETWORKS", "PublishedClass"]

NETWORKS = 400


@dataclass(frozen=True)
class PublishedClass:
    """One of the authors' classes.

    Attributes
    ----------
    size : int
        Networks of `NETWORKS`.
    graphs : tuple of str
        ``graph_key`` of its graph; two where their networks were of two graphs, none where
        it is not known.
    """

    size: int
    graphs: tuple[str, ...] = ()


def _unknown(*sizes: int) -> tuple[PublishedClass, ...]:
    return tuple(PublishedClass(size) for size in sizes)


# Largest first; networks in none of these are in classes of under ten.
CLASSES: dict[str, tuple[PublishedClass, ...]] = {
    "interval_reproduction/vanilla": (
        PublishedClass(274, ("v1:0|>1,set>0;1|>2;0|set>0",)),
        PublishedClass(61, ("v1:0|>1,set>0;1|>2;0|set>2",)),
        PublishedClass(20, ("v1:0|>1,set>0;1|>0",)),
        PublishedClass(19, ("v1:0|>0,set>1;1|>0",)),
    ),
    "interval_reproduction/gru": (
        PublishedClass(129, ("v1:0|>1,set>2;0|set>1;1|>1",)),
        PublishedClass(107, ("v1:0|>1,set>0;1|>0",)),
        PublishedClass(57, ("v1:0|set>1;1|>0",)),
        PublishedClass(36, ("v1:0|>0,set>1;1|>0",)),
        PublishedClass(19, ("v1:0|>1,set>2;0|set>3;1|>4;0|;0|",)),
    ),
    "interval_reproduction/lstm": (
        PublishedClass(143, ("v1:0|set>1;1|>0", "v1:0|>1,set>2;0|set>3;1|>1;1|>4;0|")),
        PublishedClass(70, ("v1:0|>1,set>2;0|set>0;1|>1", "v1:0|>1,set>2;0|set>1;1|>1")),
        PublishedClass(68, ("v1:0|>0,set>1;1|>0",)),
        PublishedClass(40, ("v1:0|>1,set>0;1|>0", "v1:0|>1,set>0;1|>2;0|set>3;1|>0")),
        PublishedClass(30, ("v1:0|>1,set>0;1|>2;0|set>0",)),
    ),
    "interval_discrimination/vanilla": (
        PublishedClass(141, ("v1:0|>1,pulse1>0,pulse2>2;0|pulse1>0,pulse2>3;1|>1;-1|>1",)),
        *_unknown(101, 78, 34),
    ),
    "delayed_discrimination/vanilla": _unknown(99, 38, 33, 29, 28, 23, 15, 13),
}

# Of the class predicted from their features: by the authors' own code, 50 stratified splits.
KAPPA = {
    "interval_reproduction/vanilla": 0.35,
    "interval_discrimination/vanilla": 0.46,
    "delayed_discrimination/vanilla": 0.44,
}
