"""How right graphs are, and at what cost: `python benchmarks/verification.py`.

For each population of reference networks (``shared/reference`` beside the checkout), or of a store
(``--store``, one network in ``--every``), and each method: recall and specificity of the graphs
(see `solspace.verification`), number of solutions, sizes of graphs and seconds a network. The
published graphs are those of ``turner2021``. The last row (``--ceiling``) is what no graph that
knows no time can pass by much: the share of other solutions' response sequences that never occur
among many of the network's own, for the share of its own that do.
One core: set OMP_NUM_THREADS=1 before.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import xarray as xr

from solspace import networks
from solspace.population import network_weights
from solspace.reduction import ReductionError, automaton_key, reduce_network
from solspace.tasks import get_task
from solspace.verification import (
    ResponseSequences,
    graph_recall,
    pool_responses,
    read_responses,
    verification_sequences,
    verify_graphs,
    with_silent_leads,
)

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference" / "networks"
POPULATIONS = (
    "interval_reproduction/vanilla",
    "interval_reproduction/gru",
    "interval_reproduction/lstm",
    "interval_discrimination/vanilla",
    "delayed_discrimination/vanilla",
)
METHODS = ("turner2021", "automaton", "timed")


def certain_responses(responses: ResponseSequences) -> list[tuple[int, ...]]:
    """Response sequences with outputs held for long, without flickers."""
    return [
        tuple(item for item in responses.one(i).tolist() if not 9 <= item <= 11)
        for i in range(len(responses))
    ]


def ceiling(
    own: list[ResponseSequences], more: list[ResponseSequences], keys: list[str]
) -> tuple[float, float]:
    """Median share of own responses, and of others' that differ, among many own ones."""
    known, unknown = [], []
    for i, responses in enumerate(own):
        seen = set(certain_responses(more[i]))
        mine = certain_responses(responses)
        known.append(np.mean([response in seen for response in mine]))
        others = [
            response not in seen
            for j, other in enumerate(own)
            if keys[j] != keys[i]
            for k, response in enumerate(certain_responses(other))
            if other.certain(k) != responses.certain(k)
        ]
        if others:
            unknown.append(np.mean(others))
    return float(np.median(known)), float(np.median(unknown)) if unknown else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=300, help="a network (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="of the sequences (default 0)")
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--store", help="networks of a store instead of the reference ones")
    parser.add_argument("--every", type=int, default=10, help="only every so many of a store")
    parser.add_argument("--ceiling", type=int, default=0, help="own sequences for the ceiling")
    options = parser.parse_args()
    if not options.store and not options.reference.exists():
        parser.error(f"no reference networks at {options.reference}")

    print(
        f"{'population':33}{'method':>11}{'recall':>8}{'lowest':>8}{'(stay)':>8}{'specif.':>9}"
        f"{'keys':>6}{'nodes':>8}{'edges':>8}{'s/network':>11}{'slowest':>9}"
    )
    for population in POPULATIONS:
        task, architecture = population.split("/")
        symbols = get_task(task).input_symbols
        if options.store:
            ds = xr.open_zarr(options.store, group=population)
            ds = ds.isel(network=slice(options.every - 3, None, options.every)).load()
            every = [network_weights(ds, i) for i in range(ds.sizes["network"])]
        else:
            every = [
                networks.from_state_dict(
                    networks.read_state_dict(str(path)), architecture, inputs=2, outputs=1
                )
                for path in sorted((options.reference / population).glob("*/weights.pt"))
            ]
        sequences = verification_sequences(task, options.sequences, seed=options.seed)
        responses = [read_responses(task, architecture, weights, sequences) for weights in every]
        pool_responses(responses)
        keys: list[str] = []
        for method in METHODS:
            reduce_network(task, architecture, every[0], method=method)  # compile
            graphs, seconds = [], []
            for weights in every:
                start = time.perf_counter()
                try:
                    graphs.append(reduce_network(task, architecture, weights, method=method))
                except ReductionError as error:
                    raise SystemExit(f"{population}: {error}") from error
                seconds.append(time.perf_counter() - start)
            # Time names no solutions: timed graphs are tested by the keys of `automaton`.
            if method != "timed":
                keys = [automaton_key(graph, symbols) for graph in graphs]
            verified = verify_graphs(responses, graphs, keys)
            if method == "turner2021":
                leads = [with_silent_leads(graph) for graph in graphs]
                led = verify_graphs(responses, leads, keys)
                print(
                    f"{population:33}{'  with leads':>11}{np.median(led.recall):7.2f}"
                    f"{led.recall.min():8.2f}{'':8}{np.nanmedian(led.specificity):9.2f}"
                )
            stay = [
                graph_recall(graph, answers, missing="stay")
                for graph, answers in zip(graphs, responses, strict=True)
            ]
            nodes = [graph.n_nodes for graph in graphs]
            edges = [graph.n_edges for graph in graphs]
            print(
                f"{population:33}{method:>11}{np.median(verified.recall):8.2f}"
                f"{verified.recall.min():8.2f}{np.median(stay):8.2f}"
                f"{np.nanmedian(verified.specificity):9.2f}{len(set(keys)):6d}"
                f"{f'{min(nodes)}-{max(nodes)}':>8}{f'{min(edges)}-{max(edges)}':>8}"
                f"{np.median(seconds):11.3f}{max(seconds):9.3f}"
            )
        if options.ceiling:
            many = verification_sequences(task, options.ceiling, seed=options.seed + 1)
            more = [read_responses(task, architecture, weights, many) for weights in every]
            known, unknown = ceiling(responses, more, keys)
            print(f"{population:33}{'own responses':>11}{known:8.2f}{'':16}{unknown:9.2f}")


if __name__ == "__main__":
    main()
