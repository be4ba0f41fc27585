"""Draw the pictures of docs/attractors.md and print what it says of a store.

python -m docs.make_attractors [STORE]

The store needs the stage attractors: `solspace attractors STORE`.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import xarray as xr

import solspace
from solspace.plots import plot_attractors, save
from solspace.store import Store

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {"attractors_points": 12, "attractors_cycles": 96}
CONTEXTS = ROOT / "stores" / "context_integration.zarr"
IN_CONTEXT = 8  # a network of it
STEPS, APART = 4000, 1e-8  # of the divergence of neighbouring trajectories


def cycle_in_graph(graph: xr.Dataset, i: int) -> bool:
    """Whether a network's graph has a cycle of autonomous edges: flow that comes back."""
    g = solspace.graph_of(graph, i)
    flow = nx.DiGraph()
    flow.add_edges_from(
        (int(a), int(b))
        for a, b, symbol in zip(g.edge_source, g.edge_target, g.edge_symbol, strict=True)
        if symbol == 0
    )
    return not nx.is_directed_acyclic_graph(flow)


def exponent(architecture: str, weights: Any, state: np.ndarray, inputs: int) -> float:
    """Largest Lyapunov exponent a step, by Benettin's renormalised neighbour."""
    silence = np.zeros((2, 20, inputs))
    beside = state + APART * np.ones_like(state) / np.sqrt(state.size)
    total = 0.0
    for _ in range(STEPS // 20):
        states, _ = solspace.networks.run(architecture, weights, silence, np.stack([state, beside]))
        state, off = states[0, -1], states[1, -1] - states[0, -1]
        size = np.linalg.norm(off)
        total += np.log(size / APART)
        beside = state + off * APART / size
    return total / STEPS


def main(store: str) -> None:
    drawn = xr.open_zarr(store, group="delayed_discrimination/vanilla")
    for name, network in PICTURES.items():
        picture = plot_attractors(drawn.isel(network=[network]).load(), 0)
        save(picture, ROOT / "docs" / "images" / name, formats=["png"])
    contexts = xr.open_zarr(CONTEXTS, group="context_integration/leaky").isel(network=[IN_CONTEXT])
    contexts = contexts.load()
    for c in (1, 2):
        picture = plot_attractors(contexts, 0, after=f"in_context_{c}", by=f"coherence_{c}")
        save(picture, ROOT / "docs" / "images" / f"attractors_context_{c}", formats=["png"])
    head = ("population", "never", "some", "all", "periods", "wander", "nowhere", "output")
    print("by simulation, of all silences of a network:")
    print(f"{head[0]:34}" + "".join(f"{word:>12}" for word in head[1:]))
    tables = {}
    for population in Store(store).populations():
        ds, graph, table = (
            population.open(group).load() for group in ("population", "graph", "attractors")
        )
        done = ds["status_attractors"].values == 1
        kinds = np.where(table["attractor_kind"].values < 0, 0, table["attractor_kind"].values)
        ends = np.take_along_axis(kinds, table["attractor_index"].values.astype(int), axis=1)
        moves = np.isin(ends, (1, 2))[done]
        period = table["attractor_period"].values[kinds == 1]
        symbols = table["attractor_symbols"].values
        again = (np.char.count(symbols.astype(str), ",") > 0)[done]
        row = (
            (~moves.any(1)).sum(),
            (moves.any(1) & ~moves.all(1)).sum(),
            moves.all(1).sum(),
            f"{period.min():.0f}-{period.max():.0f}" if len(period) else "",
            (kinds[done] == 2).any(1).sum(),
            (kinds[done] == 3).any(1).sum(),
            (again & np.isin(kinds[done], (1, 2))).any(1).sum(),
        )
        print(f"{population!s:34}" + "".join(f"{value:>12}" for value in row))
        tables[str(population)] = ds, graph, table, moves.any(1), done
    print("\na cycle in the graph / motion by simulation:")
    for name, (_, graph, _, moves, done) in tables.items():
        there = done & (graph["n_nodes"].values > 0)
        drawn_cycle = np.array([cycle_in_graph(graph, i) for i in np.flatnonzero(there)])
        both = Counter(zip(drawn_cycle.tolist(), moves[there[done]].tolist(), strict=True))
        print(
            f"{name:34} both {both[True, True]}, graph alone {both[True, False]}, "
            f"simulation alone {both[False, True]}, neither {both[False, False]}"
        )
    print("\nkeys:")
    for name, (ds, *_) in tables.items():
        counts = Counter(ds["attractor_key"].values.tolist())
        small = sum(n for n in counts.values() if n < 10)
        print(f"{name}: {len(counts)} keys, {small} networks in keys of under ten")
        for key, number in counts.most_common(9):
            print(f"  {number:4} {key}")
    print("\nlargest Lyapunov exponent a step of what wanders (median, lowest, highest):")
    for name, (ds, _, table, *_) in tables.items():
        task, architecture = name.split("/")
        found = []
        for i in np.flatnonzero((table["attractor_kind"].values == 2).any(1)):
            weights = solspace.networks.as_float64(architecture, solspace.network_weights(ds, i))
            settled = solspace.attractors.settle_network(task, architecture, weights)
            inputs = weights["weight_ih"].shape[-1]
            found += [
                exponent(architecture, weights, one.states[-1], inputs)
                for one in settled.found
                if one.wanders
            ]
        if found:
            print(
                f"{name:34} {np.median(found):.4f} {min(found):.4f} {max(found):.4f}"
                f"  over 0.001: {sum(e > 1e-3 for e in found)} of {len(found)}"
            )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "stores" / "turner2021.zarr"))
