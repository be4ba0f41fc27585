"""What is known of the authors' populations: sizes of their classes, and which graphs these are.

Reads the folder `shared` beside the checkout: the labels they published for 400 networks a
population (label 0 is "in no class of ten or more"), which graphs their classes are as far as
sixteen of their networks tell (a table in `FIGURES.md`), and eight networks of each population.
"""

from __future__ import annotations

import csv
import functools
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solspace import networks
from solspace.reduction import graph_key, reduce_network
from solspace.tasks import get_task

__all__ = [
    "REFERENCE",
    "AuthorsClass",
    "ReferenceNetwork",
    "class_graphs",
    "class_sizes",
    "reference_networks",
]

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"
FIGURES = REFERENCE.parent / "FIGURES.md"

# In the discrimination tasks the rows of the label file are not all those of the networks' numbers,
# and their columns have no names. These columns hold these features of the reference networks: for
# each of the eight there is one row where they are equal but for rounding.
MATCHING = {
    "delayed_discrimination/vanilla": {"speed_end": "published_12"},
    "interval_discrimination/vanilla": {"first_pc": "published_06", "speed_end": "published_10"},
}
NEAR = 3e-3  # and any other row at least ten times as far off


class AuthorsClass(NamedTuple):
    """A class of theirs: its label, its networks of 400, and the graphs it is known to be."""

    label: str
    size: int
    graphs: tuple[str, ...]


class ReferenceNetwork(NamedTuple):
    """A published network: its class (0 none, -1 not known which row it is), and its graph."""

    name: str
    label: int
    graph: str


def label_rows(population: str) -> list[dict[str, str]]:
    """The rows of the authors' label file."""
    path = REFERENCE / "populations" / f"{population.replace('/', '_')}.csv"
    with path.open() as file:
        return list(csv.DictReader(file))


def class_sizes(population: str) -> tuple[list[int], int]:
    """Sizes of the authors' classes, largest first, and how many networks are in none."""
    labels = Counter(int(row["label"]) for row in label_rows(population))
    none = labels.pop(0, 0)
    return sorted(labels.values(), reverse=True), none


def class_graphs(population: str) -> list[AuthorsClass]:
    """Their classes whose graphs are known.

    Where the table has none (the discrimination tasks), those classes of which two reference
    networks or more have one graph, and that graph is of no network of another class.
    """
    found = _listed(population)
    if found:
        return found
    sizes = Counter(int(row["label"]) for row in label_rows(population))
    known = reference_networks(population)
    for label in sorted({n.label for n in known if n.label > 0}):
        graphs = {n.graph for n in known if n.label == label}
        elsewhere = {n.graph for n in known if n.label != label}
        if sum(n.label == label for n in known) > 1 and len(graphs) == 1 and not graphs & elsewhere:
            found.append(AuthorsClass(str(label), sizes[label], tuple(graphs)))
    return found


def _listed(population: str) -> list[AuthorsClass]:
    found: list[AuthorsClass] = []
    if not FIGURES.exists():
        return found
    for line in FIGURES.read_text().splitlines():
        if not line.startswith(f"| {population} |"):
            continue
        for part in line.split(" · "):
            head = re.search(r"(\d+): (\d+): `", part)
            if head:
                graphs = re.findall(r"`(v1:[^`]*)`", part)
                found.append(
                    AuthorsClass(
                        head[1], int(head[2]), tuple(g.replace("\\|", "|") for g in graphs)
                    )
                )
    return found


@functools.cache
def reference_networks(population: str) -> tuple[ReferenceNetwork, ...]:
    """The published networks of a population, their graphs by the published method."""
    task, architecture = population.split("/")
    of_task = get_task(task)
    labels = _labels(population)
    found = []
    for folder in sorted((REFERENCE / "networks" / population).iterdir()):
        weights = networks.from_state_dict(
            networks.read_state_dict(str(folder / "weights.pt")),
            architecture,
            inputs=len(of_task.inputs),
            outputs=len(of_task.outputs),
        )
        graph = graph_key(reduce_network(task, architecture, weights), of_task.input_symbols)
        found.append(ReferenceNetwork(folder.name, labels.get(folder.name, -1), graph))
    return tuple(found)


def _labels(population: str) -> dict[str, int]:
    """The authors' label by network, found by the values of features where rows have no names."""
    rows = label_rows(population)
    if population not in MATCHING:
        return {f"{row['hidden_size']}_i{row['instance']}": int(row["label"]) for row in rows}
    with (REFERENCE / "features.csv").open() as file:
        values: dict[str, dict[str, float]] = {}
        for row in csv.DictReader(file):
            if row["population"] == population:
                name = f"{row['hidden_size']}_i{row['instance']}"
                values.setdefault(name, {})[row["feature"]] = float(row["value"])
    out = {}
    for name, features in values.items():
        gaps = np.zeros(len(rows))
        for feature, column in MATCHING[population].items():
            here = np.array([float(row[column]) for row in rows])
            value = features[feature]
            gaps = np.maximum(gaps, np.abs(here - value) / max(abs(value), 1e-5))
        first, second = np.argsort(gaps, kind="stable")[:2]
        if gaps[first] < NEAR and gaps[second] > 10 * gaps[first]:
            out[name] = int(rows[first]["label"])
    return out
