"""What another instruction set changes: numbers and labels of the shipped networks, side by side.

    python -m validation.processors [--every N] [--numbers N] [--folder FOLDER] [--write]

Graphs of every N-th network of each population of `stores/turner2021.zarr`, other labels of some
of these, numbers of the first so many, and a short training of each architecture are computed in a
process of its own for each processor of `PROCESSORS`: this one, and what it can be told to be. Each
compiles into an empty cache. What was computed is kept in FOLDER, so that a run goes on where it
was stopped; ``--write`` puts the tables into docs/processors.md. With all networks a processor
takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import solspace
from solspace.features import feature_table
from solspace.population.weights import network_weights
from solspace.stability.labelling import asked_labels, label_one
from solspace.tasks import Recipe, get_task
from validation.populations import POPULATIONS, STORE

__all__ = ["PROCESSORS", "compare_labels", "compare_numbers", "environment", "main", "train_short"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "processors.md"
HERE = "here"
_AVX512 = "X86_V4 AVX512_ICL AVX512_SPR"

# What a process is told, by the processor it is to compute as: the numpy, OpenBLAS and torch of a
# processor without some instructions, the code that Numba compiles for it, and the functions that
# the C library chooses there.
PROCESSORS: dict[str, dict[str, str]] = {
    HERE: {},
    "avx2": {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "",  # empty, or those of this machine come in again
        "NPY_DISABLE_CPU_FEATURES": _AVX512,
        "OPENBLAS_CORETYPE": "Haswell",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "x86-64-v2": {
        "NUMBA_CPU_NAME": "nehalem",
        "NUMBA_CPU_FEATURES": "",
        "NPY_DISABLE_CPU_FEATURES": f"X86_V3 {_AVX512}",
        "OPENBLAS_CORETYPE": "Nehalem",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F",
    },
}
# Labels, and of how many networks each is computed once: what takes longer, more seldom.
LABELS = {"graph_key": 1, "automaton_key": 1, "response_key": 20, "attractor_key": 40}
NUMBERS = ("activity", "output", "extrapolated output", "fixed points")
LARGE = 1e-6  # a feature that differs by more is counted
TRAINED = ("vanilla", "gru", "lstm", "leaky", "planar")
STEPS = (20, 200)
_SHORT = Recipe(
    target_loss=1e-9, max_steps=STEPS[-1], learning_rate=5e-3, batch_size=32, check_every=20,
    attempts=1,
)  # fmt: skip


def environment(processor: str, cache: str | Path) -> dict[str, str]:
    """Variables of a process that is to compute as a processor, and where Numba keeps its code.

    Examples
    --------
    >>> environment("avx2", "kept")["OPENBLAS_CORETYPE"]
    'Haswell'
    """
    own = {k: v for k, v in os.environ.items() if k not in PROCESSORS["x86-64-v2"]}
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
    told = PROCESSORS[processor]
    return {**own, **threads, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(cache), **told}


# --------------------------------------------------------------------------- one processor


def train_short(task: str, architecture: str, units: int = 20) -> dict[str, NDArray[Any]]:
    """A network after 200 gradient steps, by the same seed always: its losses and weights."""
    from solspace.training import train_network

    found = train_network(task, architecture, units, seed=1, recipe=_SHORT)
    weights = [np.asarray(array, float).ravel() for _, array in sorted(found.weights.items())]
    return {"loss": np.array(found.loss_curve), "weights": np.concatenate(weights)}


def _bare(population: str, at: slice) -> xr.Dataset:
    """Networks of the store with their weights alone, so that nothing is read from it."""
    ds = xr.open_zarr(STORE, group=population, chunks=None).isel(network=at)
    kept = [n for n in ds.data_vars if str(n).startswith(("weight_", "bias_"))]
    bare = ds[kept].drop_vars([c for c in ds.coords if "key" in str(c) or "solution" in str(c)])
    bare.attrs = {k: v for k, v in ds.attrs.items() if k == "recipe"}
    return bare.load()


def _numbers(population: str, networks: int) -> dict[str, NDArray[Any]]:
    bare = _bare(population, slice(networks))
    recorded = solspace.record(bare)
    points = solspace.find_fixed_points(bare, starts=32)
    return {
        "activity": recorded["activity"].values,
        "output": recorded["output"].values,
        "extrapolated output": solspace.extrapolate(bare)["output"].values,
        "features": solspace.extract_features(recorded)["features"].values.astype(float),
        "fixed points": points["fixed_point_state"].values,
    }


def _labels(population: str, every: int) -> dict[str, list[str]]:
    """By label, the keys of networks; the reason where one has none."""
    task, architecture = population.split("/")
    ds = xr.open_zarr(STORE, group=population, chunks=None)
    weights = ds[[n for n in ds.data_vars if str(n).startswith(("weight_", "bias_"))]].load()
    return {
        asked.name: [
            found.key or f"none: {found.reason}"
            for i in range(0, ds.sizes["network"], every * LABELS[asked.name])
            for found in label_one(
                get_task(task), architecture, network_weights(weights, i), [asked]
            )
        ]
        for asked in asked_labels(list(LABELS), ds.attrs)
    }


def _part(name: str, every: int, numbers: int) -> Any:
    """One part of the work: ``train``, or labels or numbers of a population."""
    what, _, population = name.partition(" ")
    if what == "train":
        from solspace.two_neuron.training import descend, initial_weights

        start = np.array([initial_weights(seed) for seed in range(60)])
        planar = descend(start, learning_rate=0.035, target_loss=1e-4, max_steps=200)
        return {
            **{a: train_short("interval_reproduction", a) for a in ("vanilla", "gru", "lstm")},
            "leaky": train_short("context_integration", "leaky"),
            "planar": {"loss": planar.loss, "weights": planar.weights},
        }
    return _labels(population, every) if what == "labels" else _numbers(population, numbers)


def _parts() -> list[str]:
    whats = ("labels", "numbers")
    return ["train", *(f"{what} {population}" for what in whats for population in POPULATIONS)]


def _kept(folder: Path, processor: str, name: str, every: int, numbers: int) -> Path:
    return folder / processor / f"{name.replace('/', '.')} {every} {numbers}.pkl"


def _work(folder: Path, processor: str, every: int, numbers: int) -> None:
    """Compute, in this process, what the folder has not yet."""
    for name in _parts():
        kept = _kept(folder, processor, name, every, numbers)
        if kept.exists():
            continue
        found = _part(name, every, numbers)
        kept.parent.mkdir(parents=True, exist_ok=True)
        begun = kept.with_suffix(".begun")
        begun.write_bytes(pickle.dumps(found))
        begun.replace(kept)  # whole or not there
        print(f"{processor}: {name}", file=sys.stderr, flush=True)


# --------------------------------------------------------------------------- side by side


def compare_numbers(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The largest difference, relative to the largest number; 0 where every bit is the same.

    Examples
    --------
    >>> compare_numbers(np.array([2.0, np.nan]), np.array([2.0, np.nan]))
    0.0
    >>> compare_numbers(np.array([2.0, 1.0]), np.array([2.0, 1.5]))
    0.25
    >>> compare_numbers(np.array([2.0, 1.0]), np.array([2.0, np.nan]))
    inf
    """
    one, other = np.asarray(one), np.asarray(other)
    if one.shape != other.shape or (np.isfinite(one) != np.isfinite(other)).any():
        return np.inf
    known = np.isfinite(one)
    if one.tobytes() == other.tobytes() or not known.any():
        return 0.0
    a, b = one[known].astype(float), other[known].astype(float)
    return float(np.abs(a - b).max() / np.abs(a).max())


def compare_labels(one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> dict[str, Any]:
    """By label, the positions of networks whose keys differ.

    Examples
    --------
    >>> compare_labels({"graph_key": ["a", "b"]}, {"graph_key": ["a", "c"]})
    {'graph_key': [1]}
    """
    pairs = {name: zip(keys, other[name], strict=True) for name, keys in one.items()}
    return {name: [i for i, (a, b) in enumerate(rows) if a != b] for name, rows in pairs.items()}


def _told(difference: float) -> str:
    return "the same bits" if difference == 0 else f"{difference:.0e}"


def _by_network(one: NDArray[Any], other: NDArray[Any]) -> str:
    """The largest difference of networks alike in what is finite, and how many are not."""
    found = [compare_numbers(a, b) for a, b in zip(one, other, strict=True)]
    other_points = sum(not np.isfinite(d) for d in found)
    worst = max((d for d in found if np.isfinite(d)), default=0.0)
    rest = f"; {other_points} of {len(found)} with others" if other_points else ""
    return f"{_told(worst)}{rest}"


def tables(found: Mapping[str, Mapping[str, Any]], every: int) -> str:
    """What differs from this processor, as tables of Markdown; parts that are missing say so."""
    others = [p for p in found if p != HERE]

    def row(part: str, told: str, cell: Callable[[Any, Any], str]) -> str:
        mine, cells = found[HERE].get(part), []
        for p in others:
            known = mine is not None and part in found[p]
            cells.append(cell(mine, found[p][part]) if known else "not computed")
        return f"| {told} | {' | '.join(cells)} |"

    def head(*names: str) -> list[str]:
        names = (*names, *others)
        return ["", f"| {' | '.join(names)} |", "|---" * len(names) + "|"]

    lines = head("trained", "number")[1:]
    for name in TRAINED:
        ends = {f"loss after {k} steps": k // _SHORT.check_every + 1 for k in STEPS}
        if name == "planar":
            ends = {"loss of 60 networks": 60}
        for told, end in [*ends.items(), ("weights then", 0)]:
            cell = partial(_trained_cell, name=name, end=end)
            lines.append(row("train", f"{name} | {told}", cell))
    lines += head("population", "number")
    for population in POPULATIONS:
        lines += [
            row(f"numbers {population}", f"{population} | {name}", partial(_number_cell, name=name))
            for name in NUMBERS
        ]
        columns = feature_table(population.split("/")[0]).name
        cell = partial(_feature_cell, columns=columns)
        lines.append(row(f"numbers {population}", f"{population} | features", cell))
    lines += head("population", "label")
    named = []
    for population in POPULATIONS:
        part = f"labels {population}"
        lines += [
            row(part, f"{population} | `{label}`", partial(_label_cell, label=label))
            for label in LABELS
        ]
        named += [
            f"- {population}, network {i * every * LABELS[label]}, `{label}`, on {p}"
            for p in others
            if part in found[p] and part in found[HERE]
            for label, apart in compare_labels(found[HERE][part], found[p][part]).items()
            for i in apart
        ]
    lines += ["", "Networks with another label:" if named else "No network has another label."]
    return "\n".join([*lines, *(["", *named] if named else [])])


def _trained_cell(one: Any, other: Any, *, name: str, end: int) -> str:
    """Of the losses before a place, or of the weights where that is 0."""
    pairs = [v[name]["loss"][:end] if end else v[name]["weights"] for v in (one, other)]
    return _told(compare_numbers(*pairs))


def _number_cell(one: Any, other: Any, *, name: str) -> str:
    return _by_network(one[name], other[name])


def _feature_cell(one: Any, other: Any, *, columns: Sequence[str]) -> str:
    """Each feature relative to its own largest value, as features are of every size."""
    pairs = zip(one["features"].T, other["features"].T, strict=True)
    found = np.array([compare_numbers(a, b) for a, b in pairs])
    large = int((found > LARGE).sum())
    most = f"; {large} of {len(found)} over {LARGE:.0e}, most {found.max():.0e} "
    return f"{_told(float(np.median(found)))} in the median" + (
        f"{most}(`{columns[int(found.argmax())]}`)" if large else f", at most {found.max():.0e}"
    )


def _label_cell(one: Any, other: Any, *, label: str) -> str:
    total = len(one[label])
    return f"{total - len(compare_labels(one, other)[label])} of {total}"


def _read(folder: Path, every: int, numbers: int) -> dict[str, dict[str, Any]]:
    return {
        processor: {
            name: pickle.loads(kept.read_bytes())
            for name in _parts()
            if (kept := _kept(folder, processor, name, every, numbers)).exists()
        }
        for processor in PROCESSORS
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="label every N-th network")
    parser.add_argument("--numbers", type=int, default=4, help="compare numbers of so many")
    parser.add_argument("--folder", type=Path, help="where what was computed is kept")
    parser.add_argument("--write", action="store_true", help="into docs/processors.md")
    parser.add_argument("--only", choices=PROCESSORS, help="one processor, and no comparison")
    parser.add_argument("--as", dest="told", choices=PROCESSORS, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    folder = args.folder or Path(tempfile.mkdtemp(prefix="processors"))
    if args.told:
        _work(folder, args.told, args.every, args.numbers)
        return 0
    for processor in [args.only] if args.only else PROCESSORS:
        command = [sys.executable, "-m", "validation.processors", "--as", processor]
        command += ["--every", str(args.every), "--numbers", str(args.numbers)]
        command += ["--folder", str(folder.resolve())]
        told = environment(processor, folder.resolve() / f"numba-{processor}")
        subprocess.run(command, env=told, cwd=ROOT, check=True)
    if args.only:
        return 0
    text = tables(_read(folder, args.every, args.numbers), args.every)
    if args.write:
        from docs.pages import write_part

        write_part(PAGE, __file__, text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
