"""What pairs of networks cost, beside other packages and the same numbers from scratch.

    python benchmarks/similarity.py [--quick] [--population] [--write]

Each line is one pair or one network of as many trials, steps and units as the vanilla networks of
interval reproduction have (31, 150, 50), in processor seconds of one thread, so that other work on
the machine tells less; ratios are what counts. dsa-metric and rsatoolbox are run where they are
installed (``pip install 'solspace[peers]'``). netrep is not on PyPI: its place takes the same
algorithm, which centres both networks and aligns them by the rotation found, anew for each pair,
and kernels of samples by samples for linear CKA. Where the oracles lie beside the checkout
(shared/oracles/timings_cpu_s.json), netrep's own time on another machine, by a yardstick that was
measured beside it there and is here, takes its place where it is less.

``--population`` runs all pairs of the 400 vanilla networks of interval reproduction that ship, by
Procrustes, on two cores, from a store on disk. ``--write`` does all of it, and writes the table of
docs/similarity.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from solspace.similarity import fit_havok, get_measure, pairwise

ROOT = Path(__file__).resolve().parents[1]
TIMINGS = ROOT.parent / "shared" / "oracles" / "timings_cpu_s.json"
STORE = ROOT / "stores" / "turner2021.zarr"
TRIALS, STEPS, UNITS = 31, 150, 50
# In these timings netrep's own, and the yardstick that it was measured beside on that machine.
NETREP = {
    "procrustes": ("netrep LinearMetric alpha=1 pair", "own procrustes (centred cached)"),
    "cka": ("netrep LinearCKA 4650 samples", "own linear CKA feature-space"),
}
BLOCKS = (8, 32, 128)
LAZY = 128  # networks that memory is measured with


class Row(NamedTuple):
    """What one thing takes, in processor seconds."""

    what: str
    baseline: str
    theirs: float
    ours: float
    aim: str


def seconds(function: Callable[[], Any], repeats: int) -> float:
    """Least of a few runs, in processor seconds."""
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        function()
        times.append(time.process_time() - begun)
    return min(times)


def activity(rng: np.random.Generator, units: int = UNITS) -> np.ndarray:
    """A random leaky network driven by two random inputs."""
    w = rng.normal(size=(units, units)) * 1.5 / np.sqrt(units)
    b = rng.normal(size=(units, 2))
    h, out = np.zeros((TRIALS, units)), np.zeros((TRIALS, STEPS, units))
    drive = rng.normal(size=(TRIALS, 2))
    for t in range(STEPS):
        drive = 0.9 * drive + rng.normal(size=drive.shape)
        h = 0.8 * h + 0.2 * np.tanh(h @ w.T + drive @ b.T)
        out[:, t] = h
    return out


def plain_procrustes(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    u, _, vh = np.linalg.svd(x.T @ y)
    x, y = x @ u, y @ vh.T
    return float(np.arccos(np.clip(np.sum(x * y) / np.linalg.norm(x) / np.linalg.norm(y), -1, 1)))


def plain_cka(x: np.ndarray, y: np.ndarray) -> float:
    # Of centred samples the kernels are centred; no further array of samples by samples is made.
    k, m = ((z - z.mean(axis=0)) @ (z - z.mean(axis=0)).T for z in (x, y))
    return float(np.vdot(k, m) / np.linalg.norm(k) / np.linalg.norm(m))


def by_units(x: np.ndarray, y: np.ndarray) -> float:
    """The same number from units by units, both prepared anew."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    both = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / both)


def plain_havok(x: np.ndarray, delays: int = 10, rank: int = 20) -> np.ndarray:
    rows = x.shape[1] - delays + 1
    delayed = np.concatenate([x[:, d : d + rows] for d in range(delays)], axis=-1)
    u, _, _ = np.linalg.svd(delayed.reshape(-1, delayed.shape[-1]), full_matrices=False)
    v = u[:, :rank].reshape(len(x), rows, rank)
    before, after = v[:, :-1].reshape(-1, rank), v[:, 1:].reshape(-1, rank)
    return np.linalg.lstsq(before, after, rcond=None)[0].T


def per_pair(name: str, nets: list[np.ndarray], repeats: int, **options: Any) -> float:
    """Of one pair, once both are prepared."""
    measure = get_measure(name)
    shapes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "trajectories": lambda x: x,
        "conditions": lambda x: x.reshape(len(x), -1),
        "samples": lambda x: x.reshape(-1, x.shape[-1]),
    }
    prepared = [measure.prepare(shapes[measure.of](x)) for x in nets]
    return seconds(lambda: measure.row(prepared[0], prepared[1:], **options), repeats) / (
        len(nets) - 1
    )


def there(package: str) -> bool:
    return find_spec(package) is not None


def timed(repeats: int, quick: bool) -> tuple[list[Row], list[str]]:
    """Lines of the table, and what was left out or is known of the baselines."""
    rng = np.random.default_rng(0)
    nets = [activity(rng) for _ in range(12)]
    flat = [x.reshape(-1, UNITS) for x in nets[:2]]
    rows, notes = [], []
    with threadpool_limits(1):
        ours = per_pair("procrustes", nets, repeats)
        theirs = seconds(lambda: plain_procrustes(*flat), repeats)
        theirs = _calibrated(theirs, ours, *NETREP["procrustes"], notes)
        rows.append(Row("Procrustes, a pair", "netrep's algorithm", theirs, ours, "5"))
        ours = per_pair("cka", nets, repeats)
        theirs = seconds(lambda: plain_cka(*flat), min(repeats, 3))
        yard = seconds(lambda: by_units(*flat), repeats)
        theirs = _calibrated(theirs, yard, *NETREP["cka"], notes)
        rows.append(Row("linear CKA, a pair", "netrep's algorithm", theirs, ours, "50"))
        rows += _dsa(nets, repeats, quick, notes)
        rows += _rsa(nets, repeats, notes)
    return rows, notes


def _dsa(nets: list[np.ndarray], repeats: int, quick: bool, notes: list[str]) -> list[Row]:
    fit = seconds(lambda: fit_havok(nets[0]), repeats)
    pair = per_pair("dsa", nets, repeats)
    if not there("DSA"):
        notes.append("dsa-metric is not installed: a plain HAVOK fit takes its place.")
        theirs = seconds(lambda: plain_havok(nets[0]), repeats)
        return [
            Row("HAVOK fit of a network", "singular values of the delays", theirs, fit, "8"),
            Row("DSA, a pair once fitted", "two such fits", 2 * theirs, pair, "100"),
        ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from DSA import DMD, DSA

        torch.set_num_threads(1)
        how = {"n_delays": 10, "rank": 20}
        DMD(nets[0], **how).fit()  # what it imports and compiles is not measured
        theirs = seconds(lambda: DMD(nets[0], **how).fit(), repeats)
        both = seconds(lambda: DSA(nets[0], nets[1], **how).fit_score(), max(1, repeats // 2))
        rows = [
            Row("HAVOK fit of a network", "dsa-metric", theirs, fit, "8"),
            Row("DSA, a pair once fitted", "dsa-metric, a pair", both, pair, "100"),
        ]
        if quick:
            notes.append("DSA by angles is left out with --quick.")
            return rows
        angular = seconds(
            lambda: DSA(nets[0], nets[1], score_method="angular", iters=1500, **how).fit_score(), 1
        )
    ours = per_pair("dsa_angular", nets[:4], 1)
    rows.append(Row("DSA by angles, a pair once fitted", "dsa-metric, a pair", angular, ours, ""))
    return rows


def _rsa(nets: list[np.ndarray], repeats: int, notes: list[str]) -> list[Row]:
    if not there("rsatoolbox"):
        notes.append("rsatoolbox is not installed: RSA is left out.")
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from rsatoolbox.data import Dataset
        from rsatoolbox.rdm import calc_rdm, compare

        flat = [x.reshape(TRIALS, -1) for x in nets]
        data = [Dataset(x) for x in flat]
        measure = get_measure("rsa")
        made = seconds(lambda: calc_rdm(data[0], method="euclidean"), repeats)
        own = seconds(lambda: measure.prepare(flat[0]), repeats)
        rdms = [calc_rdm(d, method="euclidean") for d in data]
        many = len(rdms) - 1
        theirs = seconds(lambda: [compare(rdms[0], r, method="corr") for r in rdms[1:]], repeats)
    return [
        Row("dissimilarities of a network's trials", "rsatoolbox", made, own, ""),
        Row("RSA, a pair once they are made", "rsatoolbox", theirs / many,
            per_pair("rsa", nets, repeats), ""),
    ]  # fmt: skip


def _calibrated(plain: float, yard: float, name: str, beside: str, notes: list[str]) -> float:
    """The less of what the algorithm takes here and what netrep itself would take."""
    if not TIMINGS.exists():
        notes.append(f"{name}: not calibrated, as no timings lie beside the checkout.")
        return plain
    known = json.loads(TIMINGS.read_text())
    own = known[name] / known[beside] * yard
    notes.append(
        f"{name}: {known[name] * 1e3:.1f} ms by netrep itself on another machine, which is "
        f"{_ms(own)} here by a yardstick measured on both ({beside}); its algorithm takes "
        f"{_ms(plain)} here. The less of the two is in the table."
    )
    return min(plain, own)


# ---------------------------------------------------------------------------------------- memory


def peak() -> float:
    """Most memory that this process has held, in MB."""
    # Not that of getrusage: a process that is started counts what its parent held.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1024
    return float("nan")


def _all_pairs(path: str, block: int | None, workers: int, answer: Any) -> None:
    """All pairs of a store's activity, in a process of its own: wall seconds, and memory."""
    ds = xr.open_zarr(path, chunks=None, consolidated=False)
    two = ds.isel(network=slice(2)).load()
    pairwise(two, "procrustes", workers=1)  # imports are not of what is measured
    before = peak()
    begun = time.perf_counter()
    found = pairwise(ds, "procrustes", block=block, workers=workers)
    wall = time.perf_counter() - begun
    assert np.isfinite(found.values).all()
    answer.put((wall, peak() - before))


def measured(path: str, block: int | None, workers: int) -> tuple[float, float]:
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.Queue()
    process = spawn.Process(target=_all_pairs, args=(path, block, workers, answer))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"all pairs ended with {process.exitcode}")
    wall, megabytes = answer.get()
    return wall, megabytes


def memory() -> list[str]:
    """Rows of a table: how much the peak of memory rises with the block."""
    rng = np.random.default_rng(0)
    few = np.stack([activity(rng) for _ in range(8)]).astype(np.float32)
    dims = ("network", "trial", "time", "unit")
    lines = ["| networks in a block | memory |", "|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/activity.zarr"
        # Each a little different, so that none is the same as another.
        ds = xr.Dataset({"activity": (dims, few)}).chunk(network=8)
        ds.to_zarr(path, consolidated=False)
        for _ in range(LAZY // 8 - 1):
            noise = 0.1 * rng.normal(size=few.shape).astype(np.float32)
            xr.Dataset({"activity": (dims, few + noise)}).to_zarr(
                path, append_dim="network", consolidated=False
            )
        for block in BLOCKS:
            _, megabytes = measured(path, block, 2)
            lines.append(f"| {block} of {LAZY} | {megabytes:.0f} MB |")
    return lines


def population() -> str:
    """All pairs of the 400 vanilla networks that ship, from a store on disk."""
    import solspace

    if not STORE.exists():
        return "The store that ships, stores/turner2021.zarr, is not here."
    ds = xr.open_zarr(STORE, group="interval_reproduction/vanilla")
    with tempfile.TemporaryDirectory() as folder:
        path, step = f"{folder}/activity.zarr", 40
        for start in range(0, ds.sizes["network"], step):
            some = ds.isel(network=slice(start, start + step)).load()
            activity = solspace.record(some)[["activity"]].reset_coords(drop=True)
            sizes = ("network", some.hidden_size.values)
            activity = activity.assign_coords(hidden_size=sizes)
            activity["activity"].encoding.clear()
            how: dict[str, Any] = {"append_dim": "network"} if start else {}
            activity.chunk(network=8).to_zarr(path, consolidated=False, **how)
        wall, megabytes = measured(path, None, 2)
    n = ds.sizes["network"]
    return (
        f"All {n * (n - 1) // 2:,} pairs of the {n} vanilla networks of interval reproduction by "
        f"Procrustes, read from a store: {wall:.0f} s on two cores, {megabytes:.0f} MB."
    )


def table(rows: list[Row]) -> list[str]:
    lines = [
        "| what | baseline | takes | here | times as fast | aim |",
        "|---|---|---|---|---|---|",
    ]
    return [
        *lines,
        *(
            f"| {row.what} | {row.baseline} | {_ms(row.theirs)} | {_ms(row.ours)} "
            f"| {_digits(row.theirs / row.ours)} | {row.aim} |"
            for row in rows
        ),
    ]


def _digits(value: float) -> str:
    """Two digits, and no power of ten."""
    return f"{float(f'{value:.2g}'):,.10g}"


def _ms(value: float) -> str:
    return f"{_digits(value * 1e3)} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run of each, without angles")
    parser.add_argument("--population", action="store_true", help="all pairs of 400 networks too")
    parser.add_argument("--write", action="store_true", help="all of it, into docs/similarity.md")
    args = parser.parse_args()
    rows, notes = timed(1 if args.quick else 5, args.quick)
    text = [*table(rows), "", *(f"- {note}" for note in notes), "", *memory()]
    if args.population or args.write:
        text += ["", population()]
    print("\n".join(text))
    if args.write:
        sys.path.insert(0, str(ROOT))
        from docs.pages import write_part

        write_part(ROOT / "docs" / "similarity.md", __file__, "\n".join(text))


if __name__ == "__main__":
    main()
