"""Psychophysical kernels: what a pulse at each moment does to the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from solspace.errors import SolspaceError, how_to_make

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["psychophysical_kernels"]

NEEDED = ("context", "pulse_stream", "pulse_at", "pulse_sign")


def psychophysical_kernels(challenged: xr.Dataset) -> xr.DataArray:
    """The effect of a single pulse in each stream, at each moment, in each context.

    Half of what the output to a positive pulse is above that to a negative one, without noise.

    Parameters
    ----------
    challenged : Dataset
        The group ``challenges`` of a store, or what `solspace.challenge` returns, of a task with
        challenges whose parameters are ``context``, ``pulse_stream``, ``pulse_at`` and
        ``pulse_sign``.

    Returns
    -------
    DataArray (network, context, stream, moment)
        ``moment`` in steps from the start of the stimulus.

    Raises
    ------
    SolspaceError
        Where there are no such challenges.

    References
    ----------
    Neri & Heeger, Nat Neurosci 2002; Nienborg & Cumming, Nature 2009, who take kernels from the
    noise of trials; here pulses are given one by one.

    Examples
    --------
    >>> import xarray as xr
    >>> at = {"context": [1, 1], "pulse_stream": [1, 1], "pulse_at": [0, 0], "pulse_sign": [-1, 1]}
    >>> ds = xr.Dataset({"challenge_output": (("network", "challenge", "repeat"),
    ...                                       [[[-0.25], [0.75]]])},
    ...                 coords={f"challenge_{name}": ("challenge", np.array(values, float))
    ...                         for name, values in at.items()})
    >>> psychophysical_kernels(ds).values.tolist()
    [[[[0.5]]]]
    """
    import xarray as xr

    if "challenge_output" not in challenged.variables:
        raise SolspaceError(
            f"the dataset has no 'challenge_output'; {how_to_make('challenge')} (in a store it "
            "stands in the group TASK/ARCHITECTURE/challenges)"
        )
    names = [f"challenge_{name}" for name in NEEDED]
    if missing := [name for name in names if name not in challenged.variables]:
        raise SolspaceError(
            f"its challenges have no {missing[0]!r}; give those of a task with single pulses, such "
            "as context_integration"
        )
    values = np.stack([challenged[name].values.astype(float) for name in names])
    of = np.flatnonzero(np.isfinite(values).all(axis=0))
    found = [np.unique(row[of], return_inverse=True) for row in values]
    stored = challenged["challenge_output"].transpose("network", "challenge", "repeat")
    output = stored.isel(challenge=of).mean("repeat").values  # NaN past repeats is left out
    sizes = [len(unique) for unique, _ in found]
    effect = np.full((len(output), *sizes), np.nan)
    context, stream, moment, sign = (place.ravel() for _, place in found)
    effect[:, context, stream, moment, sign] = output
    if sizes[3] != 2 or np.isnan(effect[np.isfinite(output).all(axis=1)]).any():
        raise SolspaceError(
            "pulses are not given at the same moments with both signs in each context and stream; "
            "declare challenges that are"
        )
    labels = {c: v for c, v in challenged.coords.items() if v.dims == ("network",)}
    return xr.DataArray(
        (effect[..., 1] - effect[..., 0]) / 2,
        dims=("network", "context", "stream", "moment"),
        coords={
            "context": found[0][0].astype(int),
            "stream": found[1][0].astype(int),
            "moment": ("moment", found[2][0], {"units": "steps"}),
        }
        | labels,
        name="psychophysical_kernel",
        attrs={"long_name": "effect of a pulse on the output", "units": "1"},
    )
