"""Prefrontal units of Mante et al. 2013 beside networks: a part of docs/context_integration.md.

    python -m validation.mante measure STORE OTHERS   # docs/data/mante, and the picture
    python -m validation.mante                        # the part of the page

STORE holds leaky networks of the task `context_integration`, OTHERS those of further architectures.
The recording is read from the folder ``shared`` beside the checkout, where it is there; none of it
is kept, only what comes out of comparisons. Some ten minutes on one core.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from docs.pages import write_part
from solspace import (
    SolspaceError,
    average_trials,
    halve_trials,
    locate,
    open_population,
    plots,
    recording_from_arrays,
    stack_units,
    task_axes,
)
from solspace.locating.describing import scaled
from solspace.locating.electrodes import Electrodes, see
from solspace.locating.locate import prepare, read_recording, tell
from solspace.networks import run
from solspace.population import architecture_of, network_weights
from solspace.similarity import get_measure, pairwise
from solspace.store import Store
from solspace.tasks.context_integration import COHERENCES, EPOCHS, TASK, make_trials

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "context_integration.md"
DATA = ROOT / "docs" / "data" / "mante"
PICTURE = ROOT / "docs" / "images" / "task_axes.png"
MANTE = ROOT.parent / "shared" / "recordings" / "mante2013_pfc_ar20"

Array = NDArray[np.float64]
BY = ("context", "coherence_1", "coherence_2")
MEASURES = ("procrustes", "cka", "rsa", "dsa")
# With bins of 50 ms a condition has 15, so fewer delays than there are by default.
OPTIONS: dict[str, dict[str, Any]] = {"dsa": {"delays": 3, "rank": 10}}
REPEATS = 8  # trials of each condition that a network's average is of
SPLITS, SHUFFLES, REDRAWN = 6, 5, 100
WITHOUT = 150  # recordings without structure
BLOCK = 40  # networks in memory at once
EACH = 60  # networks of each architecture


# --------------------------------------------------------------------------- the recording


def single_trials(files: Sequence[Path]) -> list[xr.Dataset]:
    """Units of Mante et al. one by one: single trials that were answered rightly."""
    from scipy.io import loadmat

    units = []
    for file in files:
        unit = loadmat(file, simplify_cells=True)["unit"]
        told = unit["task_variable"]
        # Coherences differ between units, so the first to sixth stand for the task's.
        place = {n: np.unique(told[n], return_inverse=True)[1] for n in ("stim_dir", "stim_col")}
        columns = {
            "context": np.where(told["context"] == 1, 1, 2),
            "coherence_1": np.array(COHERENCES)[place["stim_dir"]],
            "coherence_2": np.array(COHERENCES)[place["stim_col"]],
            "wrong": 1 - told["correct"].astype(int),
        }
        counts = unit["response"][:, :750].reshape(len(unit["response"]), 15, 50).sum(axis=2)
        units.append(
            recording_from_arrays(
                counts[..., None] / 0.05, columns, bin=50, start=100, drop=["wrong"],
                task="context_integration", parameters={n: n for n in BY},
                epochs={"stimulus": (100, 850)}, name=file.stem,
            )
        )  # fmt: skip
    return units


def together(units: Sequence[xr.Dataset]) -> xr.Dataset:
    """Their averages as one recording."""
    return stack_units([average_trials(one, BY) for one in units], name="prefrontal")


def halved(units: Sequence[xr.Dataset], seed: int) -> tuple[xr.Dataset, xr.Dataset]:
    pairs = [halve_trials(one, BY, seed=seed) for one in units]
    return stack_units([a for a, _ in pairs]), stack_units([b for _, b in pairs])


def _conditions(recording: xr.Dataset) -> Array:
    return np.stack([recording[n].values[0] for n in BY], axis=1).astype(np.float64)


def _rates(recording: xr.Dataset) -> Array:
    return scaled(recording.activity.values[0].astype(np.float64))


# --------------------------------------------------------------------------- networks


def untrained(ds: xr.Dataset) -> xr.Dataset:
    """The same networks with the weights that they were trained from."""
    initial = {str(n).removeprefix("initial_"): ds[n] for n in ds if str(n).startswith("initial_")}
    return ds.assign(initial)


def averages(ds: xr.Dataset, conditions: Array, seed: int = 0) -> Iterator[Array]:
    """Each network's activity in the stimulus (condition, step, unit), a mean of noisy trials."""
    rng = np.random.default_rng(seed)
    trials = make_trials(np.tile(conditions, (REPEATS, 1)), rng)
    inside = np.flatnonzero(trials.epoch[0] == EPOCHS.index("stimulus"))
    for i in range(ds.sizes["network"]):
        states, _ = run(architecture_of(ds), network_weights(ds, i), trials.input)
        size = int(ds["hidden_size"].values[i])
        own = states[:, inside, :size].reshape(REPEATS, len(conditions), len(inside), size)
        yield own.mean(axis=0, dtype=np.float64)


def binned(activity: Array, bins: int) -> Array:
    """Steps of an epoch onto bins that last as long together, (condition, bin, unit)."""
    steps = activity.shape[1]
    edges = np.linspace(0, steps, bins + 1)
    share = np.clip(
        np.minimum(edges[1:, None], np.arange(1, steps + 1))
        - np.maximum(edges[:-1, None], np.arange(steps)), 0, None,
    )  # fmt: skip
    return np.einsum("bs,csu->cbu", share / share.sum(axis=1, keepdims=True), activity)


def _part(activity: Array, measure: str) -> Array:
    """What a measure is given: less what all conditions share, but for the model of dynamics."""
    return activity if measure == "dsa" else activity - activity.mean(axis=0)


def nearness(own: Sequence[Array], others: Sequence[Array]) -> Array:
    """Of some averages to others of the same conditions, (measure, one, other)."""
    found = []
    for m in MEASURES:
        pair = [[_part(x, m) for x in group] for group in (own, others)]
        found.append(pairwise(pair[0], m, other=pair[1], workers=1, **OPTIONS.get(m, {})).values)
    return np.stack(found)


def electrodes_of(recording: xr.Dataset, share: float = 1.0) -> Electrodes:
    """Electrodes that see all conditions in equally many trials, the mean of the recorded.

    Conditions of few trials lie far from all others for their noise alone. Seen alike, a network
    would be like the recording in that, trained or not.
    """
    own = read_recording(recording, TASK, None, None, 5).electrodes
    return replace(own, trials=np.full(len(own.trials), own.trials.mean() * share))


def as_seen(activity: Array, electrodes: Electrodes, seed: Sequence[int]) -> Array:
    bounds = np.tile([[[0, activity.shape[1]]]], (len(activity), 1, 1))
    return scaled(see(activity, bounds, electrodes, np.random.default_rng(list(seed))))


def measure_networks(units: Sequence[xr.Dataset], ds: xr.Dataset) -> xr.Dataset:
    """Every network against the recording, and its axes, trained and as it was before."""
    recording = together(units)
    conditions, rates = _conditions(recording), _rates(recording)
    bins = rates.shape[1]
    rng = np.random.default_rng(0)
    own = [rates, *(rates[rng.permutation(len(rates))] for _ in range(SHUFFLES))]
    dealt = [halved(units, s) for s in range(SPLITS)]
    pairs = [_common(*pair) for pair in dealt]
    keys = [tuple(c) for c in conditions.tolist()]
    rows = [[keys.index(tuple(c)) for c in _conditions(pair[0]).tolist()] for pair in pairs]
    eyes, half_eyes = electrodes_of(recording), [electrodes_of(pair[0]) for pair in pairs]
    mine = [[_rates(half) for half in pair] for pair in pairs]
    names = ds["name"].values.astype(str).tolist()
    n, k = ds.sizes["network"], len(MEASURES)
    whole = np.full((k, 1 + SHUFFLES, 2, n), np.nan)
    seen = np.full((k, SPLITS, 2, n), np.nan)
    axes: dict[str, list[list[Array]]] = {}
    for t, population in enumerate((untrained(ds), ds)):
        for start in range(0, n, BLOCK):
            at = slice(start, start + BLOCK)
            activity = list(averages(population.isel(network=at), conditions))
            coarse = [binned(x, bins) for x in activity]
            whole[:, :, t, at] = nearness(own, coarse)
            for s, (row, eye, halves) in enumerate(zip(rows, half_eyes, mine, strict=True)):
                views = [as_seen(x[row], eye, (start + i, s)) for i, x in enumerate(activity)]
                seen[:, s, t, at] = nearness(halves, views).mean(axis=1)
            views = [as_seen(x, eyes, (start + i, SPLITS)) for i, x in enumerate(activity)]
            for view, given in (("whole", coarse), ("seen", views)):
                found = task_axes(as_dataset(given, conditions, names[at]))
                axes.setdefault(f"share_{view}", [[], []])[t].append(found.variance_share.values)
            print("seen:", ("untrained", "trained")[t], start + len(activity), flush=True)
    dims = ("trained", "network", "axis")
    out: dict[str, Any] = {
        name: (dims, np.stack([np.concatenate(p) for p in part])) for name, part in axes.items()
    }
    out["whole"] = (("measure", "trained", "network"), whole[:, 0])
    out["shuffled"] = (("measure", "trained", "network"), whole[:, 1:].mean(axis=1))
    out["seen"] = (("measure", "trained", "network"), seen.mean(axis=1))
    out["halves"] = (
        ("measure", "split"),
        np.stack([nearness(pair[:1], pair[1:])[:, 0, 0] for pair in mine], axis=1),
    )
    one = task_axes(recording)
    for name in ("variance_share", "overlap", "moment"):
        out[name] = (("axis", "other_axis")[: one[name].ndim - 1], one[name].values[0])
    splits = [task_axes(recording, halves=pair) for pair in dealt]
    for name in ("reliability", "alignment", "shared_variance"):
        out[name] = (("split", "axis"), np.stack([s[name].values[0] for s in splits]))
    return xr.Dataset(
        out,
        coords={"measure": list(MEASURES), "trained": [0, 1], "axis": one.axis.values,
                "other_axis": one.axis.values, "name": ("network", names)},
        attrs={"conditions": len(rates), "halved_conditions": min(map(len, rows)),
               "units": len(units), "exclusions": recording.exclusions.item(),
               "component_share": one.component_share.item()},
    )  # fmt: skip


def measure_units(units: Sequence[xr.Dataset], ds: xr.Dataset) -> xr.DataArray:
    """How much nearer trained networks are, for units drawn anew, (measure, draw)."""
    recording = together(units)
    conditions, rates = _conditions(recording), _rates(recording)
    rng = np.random.default_rng(1)
    own = [rates[..., rng.integers(0, len(units), len(units))] for _ in range(REDRAWN)]
    some = ds.isel(network=slice(None, None, 4))
    found = []
    for population in (untrained(some), some):
        coarse = [binned(x, rates.shape[1]) for x in averages(population, conditions)]
        found.append(nearness(own, coarse).mean(axis=-1))
    return xr.DataArray(found[1] - found[0], dims=("measure", "draw"))


def _common(one: xr.Dataset, other: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Conditions that both halves have."""
    rows = [[tuple(r) for r in _conditions(half).tolist()] for half in (one, other)]
    both = [r for r in rows[0] if r in rows[1]]
    return (
        one.isel(trial=[rows[0].index(r) for r in both]),
        other.isel(trial=[rows[1].index(r) for r in both]),
    )


# --------------------------------------------------------------------------- axes


def as_dataset(activity: Sequence[Array], conditions: Array, names: Sequence[str]) -> xr.Dataset:
    """Averages of networks as `task_axes` takes them."""
    most = max(x.shape[-1] for x in activity)
    grown = [np.pad(x, ((0, 0), (0, 0), (0, most - x.shape[-1])), constant_values=np.nan)
             for x in activity]  # fmt: skip
    return xr.Dataset(
        {
            "activity": (("network", "trial", "time", "unit"), np.stack(grown)),
            "epoch": (("trial", "time"), np.zeros(grown[0].shape[:2], np.int8)),
        },
        coords={n: ("trial", c) for n, c in zip(BY, conditions.T, strict=True)}
        | {"hidden_size": ("network", [x.shape[-1] for x in activity])}
        | {"name": ("network", list(names)), "task": TASK.name},
    )


def picture(units: Sequence[xr.Dataset], ds: xr.Dataset, similarity: xr.Dataset) -> None:
    """The recording beside the nearest network and the farthest, by `rsa`."""
    recording = together(units)
    conditions, bins = _conditions(recording), recording.sizes["time"]
    near = similarity.whole.sel(measure="rsa", trained=1).values
    nearest, farthest = (int(i) for i in np.argsort(-near)[[0, -1]])
    shown = {"prefrontal units": task_axes(recording)}
    for words, i, eyes in (
        ("nearest, as seen", nearest, electrodes_of(recording)),
        ("nearest network", nearest, None),
        ("farthest network", farthest, None),
    ):
        few = ds.isel(network=[i])
        (activity,) = averages(few, conditions)
        view = binned(activity, bins) if eyes is None else as_seen(activity, eyes, (i, SPLITS))
        names = few["name"].values.astype(str).tolist()
        shown[words] = task_axes(as_dataset([view], conditions, names))
    plots.save(plots.plot_task_axes(shown), PICTURE.with_suffix(""), formats=["png"], dpi=200)


# --------------------------------------------------------------------------- where it lies


def measure_location(
    units: Sequence[xr.Dataset], ds: xr.Dataset, others: Sequence[xr.Dataset]
) -> dict[str, xr.Dataset | str]:
    """Held against networks by three labels; where solutions are one, what is said of that."""
    recording = together(units)
    found: dict[str, xr.Dataset | str] = {}
    try:
        found["solution"] = locate(recording, ds)
    except SolspaceError as error:
        found["solution"] = str(error)  # nearly all are of one
    found["hidden_size"] = locate(recording, ds, label="hidden_size")
    several = [
        one.isel(network=slice(EACH)).assign_coords(
            kind=("network", [architecture_of(one)] * min(EACH, one.sizes["network"]))
        )
        for one in (ds, *others)
    ]
    found["architecture"] = locate(recording, several, label="kind")
    return found


def measure_null(units: Sequence[xr.Dataset], ds: xr.Dataset) -> xr.Dataset:
    """Recordings without any structure, as many spikes in as many trials: how often p is small.

    Once as `locate` deals conditions anew, among those of about as many trials, and once among all.
    """
    recording = together(units)
    counts = recording.trials_averaged.values[0].astype(np.float64)[:, None]
    rates = recording.activity.values[0].mean(axis=(0, 1), dtype=np.float64)
    found = prepare(
        recording, ds.isel(network=slice(100)), label="hidden_size", by=None, values=None,
        groups=5, measures=(), draws=1, folds=3, minimum_class_size=5, seed=0, task=None,
        progress=None,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    shape = recording.activity.shape[1:]
    out = np.empty((2, WITHOUT))
    for k in range(WITHOUT):
        seen = rng.poisson(np.broadcast_to(rates * 0.05, shape) * counts) / counts / 0.05
        one = recording.copy()
        one["activity"] = recording.activity.copy(data=seen[None].astype(np.float32))
        rows = read_recording(one, TASK, None, None, 5).rows
        every = replace(rows, weight=np.ones_like(rows.weight))
        for j, dealt in enumerate((rows, every)):
            out[j, k] = tell(found, dealt, shuffles=60, halves=1, sure=0.8, seed=k).p_value
    return xr.Dataset({"p": (("dealt", "recording"), out)}, coords={"dealt": ["alike", "all"]})


# --------------------------------------------------------------------------- the page


def main(given: list[str]) -> None:
    if given[:1] == ["measure"]:
        if len(given) != 3:
            raise SolspaceError("give two stores: python -m validation.mante measure STORE OTHERS")
        if not MANTE.exists():
            raise SolspaceError(
                f"there is no {MANTE.relative_to(ROOT.parent)}; nothing is measured"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of conditions and units, which are counted
            _measure(*given[1:])
        return
    if not (DATA / "networks.nc").exists():
        print("docs/data/mante is not there: the page is left as it is")
        return
    write_part(PAGE, __file__, section())


def _measure(store: str, others: str) -> None:
    DATA.mkdir(parents=True, exist_ok=True)
    units = single_trials(sorted(MANTE.glob("*.mat")))
    ds = open_population(store, TASK.name, "leaky").load()
    similarity = measure_networks(units, ds).assign(redrawn=measure_units(units, ds))
    similarity.astype(np.float32).to_netcdf(DATA / "networks.nc")
    picture(units, ds, similarity)
    measure_null(units, ds).astype(np.float32).to_netcdf(DATA / "null.nc")
    further = [p.open().load() for p in Store(others).select(TASK.name)]
    for name, out in measure_location(units, ds, further).items():
        (DATA / f"location_{name}.nc").unlink(missing_ok=True)
        if isinstance(out, str):
            (DATA / f"location_{name}.txt").write_text(out + "\n")
        else:
            out.to_netcdf(DATA / f"location_{name}.nc")


def _interval(values: Array) -> tuple[float, float]:
    """95 % of the mean, over networks drawn anew."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(0, len(values), (2000, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _middle(values: Array) -> str:
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9])
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def _axes_table(ds: xr.Dataset) -> str:
    lines = [
        "| axis | units: share | halves: reliability | cosine | share in both "
        "| trained, as seen | untrained, as seen | trained, all units | untrained, all units |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for axis in ds.axis.values.astype(str):
        one = ds.sel(axis=axis)
        told = [f"{one[n].mean().item():.2f}" for n in
                ("variance_share", "reliability", "alignment", "shared_variance")]  # fmt: skip
        shares = [
            _middle(one[f"share_{view}"].sel(trained=t).values)
            for view in ("seen", "whole")
            for t in (1, 0)
        ]
        name = axis.replace("coherence_1", "motion, stream 1").replace(
            "coherence_2", "colour, stream 2"
        )
        lines.append("| " + " | ".join([name, *told, *shares]) + " |")
    return "\n".join(lines)


def _similarity_table(ds: xr.Dataset) -> str:
    lines = [
        "| measure | networks | trained | untrained | difference | units drawn anew "
        "| nearer when trained | shuffled | halves |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in MEASURES:
        one = ds.sel(measure=name)
        way = "smaller" if get_measure(name).direction == "distance" else "larger"
        redrawn = np.quantile(one.redrawn.values, [0.025, 0.975])
        sign = 1 if way == "smaller" else -1
        for view, words in (("whole", "all units"), ("seen", "as seen")):
            apart = (one[view].sel(trained=1) - one[view].sel(trained=0)).values.astype(np.float64)
            low, high = _interval(apart)
            cells = [
                f"`{name}` ({way} is nearer)" if view == "whole" else "",
                words,
                *(f"{one[view].sel(trained=t).mean().item():.3f}" for t in (1, 0)),
                f"{apart.mean():+.3f} ({low:+.3f} to {high:+.3f})",
                f"{redrawn[0]:+.3f} to {redrawn[1]:+.3f}"
                if view == "whole" and name != "dsa"
                else "",
                f"{(sign * apart < 0).mean():.1%}",
                f"{one.shuffled.sel(trained=1).mean().item():.3f}" if view == "whole" else "",
                f"{one.halves.mean().item():.3f}" if view == "seen" else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _classes(ds: xr.Dataset) -> str:
    least, most = int(ds.networks.values.min()), int(ds.networks.values.max())
    return f"{ds.sizes['class_name']} of {least}" + (f" to {most}" if most > least else "")


def _location_table() -> str:
    lines = [
        "| label | classes | likeliest | its probability, its share | kappa held out "
        "| shuffled: p | typicality | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in ("solution", "hidden_size", "architecture"):
        if not (DATA / f"location_{name}.nc").exists():
            continue
        ds = xr.load_dataset(DATA / f"location_{name}.nc")
        best = int(ds.probability.values.argmax())
        v = {n: ds[n].item() for n in ds.data_vars if ds[n].ndim == 0}
        likeliest = str(ds.class_name.values[best]).removeprefix("a1:")
        lines.append(
            f"| {name.replace('_', ' ')} | {_classes(ds)} "
            f"| `{likeliest}` | {ds.probability.values[best]:.2f}, "
            f"{ds.prior.values[best]:.2f} | {v['kappa']:.2f} ({v['kappa_low']:.2f} to "
            f"{v['kappa_high']:.2f}) | {v['p_value']:.3f} | {v['typicality']:.2f} "
            f"| {v['verdict']}{': ' + v['reason'] if v['reason'] else ''} |"
        )
    return "\n".join(lines)


def section() -> str:
    ds = xr.load_dataset(DATA / "networks.nc")
    refused = DATA / "location_solution.txt"
    parts = [
        f"The recording has {ds.attrs['units']} units and {ds.attrs['conditions']} conditions; "
        f"left out are {ds.attrs['exclusions']}. Axes of units and of {ds.sizes['network']} "
        "networks, as a share of the variance between conditions; of networks the median and where "
        "80 % lie:",
        _axes_table(ds),
        "Nearness of networks to the units; intervals are of 95 %, over networks and over units:",
        _similarity_table(ds),
        "What `locate` says:",
        _location_table(),
    ]
    null = (xr.load_dataset(DATA / "null.nc").p <= 0.05).mean("recording").values
    parts.append(
        f"Of {WITHOUT} recordings of as many spikes without any structure, {null[0]:.0%} have a p "
        "of .05 or less; were conditions dealt anew among all, whatever their trials, it would be "
        f"{null[1]:.0%}."
    )
    if refused.exists():
        parts.append(f"By solution it refuses:\n\n```text\n{refused.read_text().strip()}\n```")
    return "\n\n".join(parts)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SolspaceError as error:
        sys.exit(f"{error}")
