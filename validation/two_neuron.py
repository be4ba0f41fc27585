"""Two neurons in docs/validation.md: the published networks, and ours beside them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import xarray as xr

from solspace.run.loop import run_stage
from solspace.run.populations import import_files
from solspace.two_neuron import flags
from solspace.two_neuron.dynamics import final_states
from solspace.two_neuron.plane import explained_variance, plane_through
from solspace.two_neuron.prediction import path_to_kind
from solspace.two_neuron.stage import representatives, weights_of

__all__ = ["measure", "section"]

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT.parent / "shared" / "reference" / "two_neuron_weights.npz"
STORE = ROOT / "stores" / "two_neuron.zarr"
GROUP = "two_neuron/planar"
UNDER = 1e-4

# From the paper's text and its published weights.
PUBLISHED = {"learned": "7,080", "plane": "93 to 95 %", "origin": ("48 %", "51 %", "0.6 %")}


def variance(weights: np.ndarray) -> float:
    flat = weights.reshape(len(weights), -1)
    values = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False) ** 2
    return float(values[:2].sum() / values.sum())


def integration_error(weights: np.ndarray) -> float:
    """Largest error of the final state against a tight reference solver."""
    from scipy.integrate import solve_ivp

    exact = [
        solve_ivp(
            lambda t, x, w=w: -x + w @ np.tanh(x), (0, 10), (1, 0), method="DOP853",
            rtol=1e-10, atol=1e-12,
        ).y[:, -1]
        for w in weights
    ]  # fmt: skip
    return float(np.abs(final_states(weights) - exact).max())


def measure(ds: xr.Dataset) -> dict[str, str]:
    """What the table says of one population."""
    good = ds.isel(network=np.flatnonzero(ds.loss.values < UNDER))
    weights = weights_of(good)
    n = len(weights)
    chosen = weights_of(representatives(good))
    rows = {
        "networks": f"{ds.sizes['network']:,}",
        "loss under 1e-4": f"{n:,}",
        "variance along two principal components": f"{variance(weights):.1%}",
        "variance along the plane through one network of each kind": (
            f"{explained_variance(plane_through(chosen), weights):.1%}"
        ),
    }
    for i, name in enumerate(flags.ORIGINS):
        rows[f"origin: {name.replace('_', ' ')}"] = f"{(good.origin.values == i).mean():.1%}"
    for i, name in enumerate(flags.ENDINGS):
        count = int((good.ending.values == i).sum())
        rows[f"ending: {name.replace('_', ' ')}"] = f"{count:,} ({count / n:.1%})"
    kinds = Counter(good.fixed_point_kind.values.ravel().tolist())
    other = flags.FIXED_POINTS.index("other")
    rows["fixed points on the brink of a bifurcation"] = str(kinds[other])
    rows["kinds (solution_key)"] = str(len(set(good.solution_key.values.tolist())))
    rows["largest number of fixed points, limit cycles"] = (
        f"{int(good.n_fixed_points.max())}, {int(good.n_limit_cycles.max())}"
    )
    rows["largest integration error of x(T), 200 networks"] = (
        f"{integration_error(weights[:200]):.0e}"
    )
    return rows


def section() -> str:
    """The section's text; empty without the published weights or the store that ships."""
    if not (REFERENCE.exists() and STORE.exists()):
        return ""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/published.zarr"
        import_files(path, [str(REFERENCE)], "two_neuron", "planar")
        run_stage(path, "reduce")
        published = measure(xr.open_zarr(path, group=GROUP).load())
    own = xr.open_zarr(STORE, group=GROUP).load()
    ours = measure(own)
    said = {
        "loss under 1e-4": PUBLISHED["learned"],
        "variance along two principal components": "95 %",
        "variance along the plane through one network of each kind": PUBLISHED["plane"],
        **{
            f"origin: {name.replace('_', ' ')}": share
            for name, share in zip(flags.ORIGINS, PUBLISHED["origin"], strict=True)
        },
    }
    lines = [
        "| | published figure | published networks, this code | `stores/two_neuron.zarr` |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {said.get(name, '')} | {value} | {ours[name]} |"
        for name, value in published.items()
    ]
    predicted = path_to_kind(own)
    return TEXT.format(
        table="\n".join(lines),
        accuracy=f"{float(predicted.accuracy.mean()):.1%}",
        spread=f"{float(predicted.accuracy.std()):.1%}",
        chance=f"{float(predicted.chance):.1%}",
        kinds=int((predicted.confusion.sum("predicted") > 0).sum()),
        out=int(predicted.left_out),
    )


TEXT = """\
## Two neurons

The authors' 10,000 networks of two neurons and our own, through the same code (see
[two_neuron.md](two_neuron.md)). Shares are of the networks whose loss is under 1e-4. The weights
were published without their initial values, so the training compared is the outcome only.

{table}

From the four initial weights a classifier predicts which of {kinds} kinds a network of ours comes
to (learned or not, and where it ends) in {accuracy} of networks it has not seen (5 folds, standard
deviation {spread}); always predicting the commonest kind is right in {chance}. {out} networks of
rarer kinds were left out.
"""
