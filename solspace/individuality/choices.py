"""What tells one network from another in its choices, from psychometric curves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from solspace.errors import SolspaceError
from solspace.population.variables import text_array

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["psychometric_measures"]

# Contexts are alike but for their names, so each is a mean over both.
_MEANINGS = {
    "sensitivity": "rise of positive choices over the weakest trained coherences that count",
    "sensitivity_beyond": "the same over the strongest coherences of all",
    "capture_8": "rise of positive choices from -8 to 8 of the stream that does not count",
    "capture_16": "the same from -16 to 16",
    "capture_trained": "the same from -4 to 4",
    "bias": "share of positive choices without coherence, less a half",
    "context_asymmetry": "sensitivity in context 1 less that in context 2",
    "capture_asymmetry": "capture at 16 in context 1 less that in context 2",
}


def psychometric_measures(
    ds: xr.Dataset, *, task: str | Task | None = None, repeats: int = 20, seed: int = 0
) -> xr.DataArray:
    """Numbers of each network's choices: how steep its curves are, and what the other stream does.

    Parameters
    ----------
    ds : Dataset
        A population with weights, of a task of two streams and two contexts.
    task : str or Task, optional
        By default the dataset's own.
    repeats : int
        Trials of each combination of coherences; see `solspace.psychometric_curves`.
    seed : int
        Of their noise. Two seeds show how reliable the numbers are.

    Returns
    -------
    DataArray (network, choice_measure)
        With ``choice_measure_meaning``; NaN for a network without weights.

    Raises
    ------
    SolspaceError
        For a task without contexts and a choice.

    Examples
    --------
    >>> from solspace import import_networks
    >>> from solspace.networks import parameter_shapes
    >>> rng, shapes = np.random.default_rng(0), parameter_shapes("leaky", 8, 4, 1)
    >>> weights = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> weights["alpha"] = 0.2
    >>> ds = import_networks("context_integration", "leaky", {"untrained": weights})
    >>> psychometric_measures(ds, repeats=1).choice_measure.values[:2].tolist()
    ['sensitivity', 'sensitivity_beyond']
    """
    import xarray as xr

    from solspace.simulation.psychometric import psychometric_curves

    curves = psychometric_curves(ds, task=task, repeats=repeats, seed=seed)
    shown = curves["positive"].transpose("network", "context", "stream", "coherence")
    at = {float(c): k for k, c in enumerate(shown["coherence"].values)}
    if missing := [c for c in (1, 4, 8, 16) if not {c, -c, 0} <= at.keys()]:
        raise SolspaceError(f"no choices at a coherence of {missing[0]}")
    own, other = shown.values[:, [0, 1], [0, 1]], shown.values[:, [0, 1], [1, 0]]

    def rise(curve: np.ndarray, to: float) -> np.ndarray:
        return np.asarray(curve[..., at[to]] - curve[..., at[-to]])

    values = {
        "sensitivity": rise(own, 1).mean(axis=1),
        "sensitivity_beyond": rise(own, 16).mean(axis=1),
        "capture_8": rise(other, 8).mean(axis=1),
        "capture_16": rise(other, 16).mean(axis=1),
        "capture_trained": rise(other, 4).mean(axis=1),
        "bias": own[..., at[0.0]].mean(axis=1) - 0.5,
        "context_asymmetry": rise(own, 1) @ [1, -1],
        "capture_asymmetry": rise(other, 16) @ [1, -1],
    }
    return xr.DataArray(
        np.stack([values[name] for name in _MEANINGS], axis=1),
        dims=("network", "choice_measure"),
        coords={
            "choice_measure": text_array(list(_MEANINGS)),
            "choice_measure_meaning": ("choice_measure", text_array(list(_MEANINGS.values()))),
        }
        | {str(name): c for name, c in ds.coords.items() if set(c.dims) == {"network"}},
        name="choice_value",
        attrs={"long_name": "numbers of choices", "units": "1"},
    )
