"""How right the machines of a population are, on sequences of a notch's own kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from solspace.responses.machine import Machine
from solspace.responses.testing import Heard

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["response_scores"]

SEQUENCES = 60
OTHERS = 25  # networks with another key that each machine is shown


def response_scores(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    notch: str | None = None,
    sequences: int = SEQUENCES,
    seed: int = 1,
) -> xr.Dataset:
    """Recall and specificity of the machines of a population, on sequences they have not seen.

    Every network is driven with the same random sequences (`response_sequences`).

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        By default the dataset's own.
    notch : str, optional
        By default the task's usual one.
    sequences : int
    seed : int
        Of the sequences, and of which other networks each machine is shown.

    Returns
    -------
    Dataset
        Along ``network``: ``response_key``; ``response_recall``, the share of a network's own
        response sequences that its machine predicts; ``response_specificity``, the share of those
        of 25 networks with another key, where the network itself does otherwise, that it forbids,
        NaN where there are none. A network that has no machine has NaN and an empty key.

    Examples
    --------
    >>> from solspace import import_networks
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": mine})
    >>> response_scores(ds, sequences=5).response_recall.values.tolist()
    [1.0]
    """
    import xarray as xr

    from solspace.errors import SolspaceError
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.variables import text_array
    from solspace.reduction.responses import read_responses
    from solspace.responses.exploring import explore_responses
    from solspace.responses.naming import response_key
    from solspace.responses.stage import can_be_asked, notch_of
    from solspace.responses.testing import (
        heard,
        machine_recall,
        machine_specificity,
        response_sequences,
    )

    task = task_of(ds, task)
    can_be_asked(task)
    architecture = architecture_of(ds)
    asked = notch_of(task, notch)
    driven = response_sequences(task, asked.name, sequences, seed=seed)
    n = ds.sizes["network"]
    keys = np.full(n, "", dtype=object)
    machines: list[Machine | None] = [None] * n
    own: list[list[Heard]] = [[] for _ in range(n)]
    for i in range(n):
        weights = network_weights(ds, i)
        try:
            machines[i] = machine = explore_responses(task, architecture, weights, asked)
        except SolspaceError:
            continue
        keys[i] = response_key(machine, task, asked)
        own[i] = heard(task, asked.name, read_responses(task, architecture, weights, driven))
    recall: NDArray[np.float64] = np.full(n, np.nan)
    specificity = recall.copy()
    rng = np.random.default_rng(seed)
    for i, made in enumerate(machines):
        if made is None:
            continue
        recall[i] = machine_recall(made, own[i])
        shown = [j for j in rng.permutation(n).tolist() if keys[j] not in ("", keys[i])][:OTHERS]
        specificity[i] = machine_specificity(made, own[i], [own[j] for j in shown])
    return xr.Dataset(
        {
            "response_recall": ("network", recall),
            "response_specificity": ("network", specificity),
        },
        coords={name: c for name, c in ds.coords.items() if c.dims in ((), ("network",))}
        | {"response_key": ("network", text_array(keys))},
        attrs={"response_notch": asked.name},
    )
