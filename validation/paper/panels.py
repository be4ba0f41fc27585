"""The data of single panels, as datasets with names, units and what they mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from solspace.tasks import interval_reproduction
from validation.paper import geometry
from validation.paper.rules import AFTER_READY, DELAY, paths_of
from validation.paper.source import Networks

__all__ = ["activity_panel", "beyond_panel", "graph_panel", "network_panels", "typical"]

# Epochs by task: the first, the second, and the parameter that the second ones differ in.
EPOCHS = {
    "interval_reproduction": ("ready_set", "set_go", "t_in"),
    "interval_discrimination": ("first_interval", "second_interval", "t1"),
    "delayed_discrimination": ("", "delay", "f1"),
}
GO = 0.15  # output over which interval reproduction answers
MOST = 24  # networks of a class that are run to find a typical one
_GRAPH = ("n_nodes", "n_edges", "node_output", "edge_source", "edge_target", "edge_input")


def activity_panel(networks: Networks, i: int) -> xr.Dataset:
    """Activity of one network on the two first principal components of the task's epochs.

    The components are those of the steps that are trained (``trained``); what silence leads on to
    is put into the same plane.

    Returns
    -------
    Dataset
        ``plane`` (path, step, component), NaN past the end of a path; ``trained`` (path, step);
        ``share`` (component); along ``path`` the coordinates ``epoch`` and the parameter. The
        path of the first epoch has the parameter's largest trained value.
    """
    paths = paths_of(networks, i)
    first, second, parameter = EPOCHS[networks.task.name]
    stretches = ([paths.first] if first else []) + paths.second
    longest = max(map(len, stretches))
    trained = np.zeros((len(stretches), longest), np.int8)
    for k, stretch in enumerate(stretches):
        until = paths.trained if (k == 0 or not first) else len(stretch)
        trained[k, : min(until, len(stretch))] = 1
    within = [s[t[: len(s)] == 1] for s, t in zip(stretches, trained, strict=True)]
    mean, axes, share = geometry.principal_axes(np.concatenate(within))
    plane = np.full((len(stretches), longest, 2), np.nan)
    for k, stretch in enumerate(stretches):
        plane[k, : len(stretch)] = (stretch - mean) @ axes
    values = ([max(paths.values)] if first else []) + paths.values
    task = networks.task
    return xr.Dataset(
        {
            "plane": (
                ("path", "step", "component"),
                plane,
                {"long_name": "activity along a principal component", "units": "1"},
            ),
            "trained": (
                ("path", "step"),
                trained,
                {
                    "long_name": "1 within the epoch as it was trained, 0 as silence goes on",
                    "units": "1",
                },
            ),
            "share": (
                "component",
                share,
                {"long_name": "share of the variance of the trained epochs", "units": "1"},
            ),
        },
        coords={
            "epoch": (
                "path",
                ([first] if first else []) + [second] * len(paths.second),
                {"long_name": "epoch"},
            ),
            parameter: (
                "path",
                values,
                {
                    "long_name": task.parameters[parameter],
                    "units": task.parameter_units.get(parameter, "1"),
                },
            ),
            "step": (
                "step",
                np.arange(longest),
                {"long_name": "time since the epoch began", "units": "steps"},
            ),
            "component": ("component", [1, 2], {"long_name": "principal component"}),
        },
        attrs={
            "description": f"activity of network {networks.label(i)} on two principal components",
            "parameter": parameter,
            "followed": DELAY if not first else AFTER_READY,
        },
    )


def beyond_panel(networks: Networks, i: int) -> xr.Dataset:
    """Output of one network far beyond training, and what it answers there.

    Returns
    -------
    Dataset
        What `solspace.extrapolate` gives, and along its trials, for interval reproduction
        ``go_onset`` (first step of output after Set) and ``early_onset`` (the same before Set),
        NaN for none; for the others ``response``, the mean output when an answer is due.
    """
    out = networks.beyond([i])
    answers = _answers(networks, out)
    kept = out.assign(answers)[["output", "input", "target", "epoch", *answers]]
    kept.attrs = {"description": f"output of network {networks.label(i)} far beyond training"}
    return kept


def _answers(networks: Networks, out: xr.Dataset) -> dict[str, Any]:
    output = out["output"].isel(output_channel=0)
    if networks.task.name == "interval_reproduction":
        over = output > GO
        set_on = interval_reproduction.READY_ON + out["t_in"]
        return {
            name: _first(over & when).assign_attrs(
                long_name=f"first step of output over {GO} {words}; NaN for none", units="steps"
            )
            for name, when, words in (
                ("go_onset", out["time"] >= set_on, "after Set"),
                ("early_onset", out["time"] < set_on, "before Set"),
            )
        }
    due = out["epoch"] == out["epoch_flag"].sel(epoch_name="response")
    response = output.where(due).mean("time").drop_vars("output_channel", errors="ignore")
    response.attrs = {"long_name": "mean output when the answer is due", "units": "1"}
    return {"response": response}


def _first(there: xr.DataArray) -> xr.DataArray:
    """First step at which something is there."""
    found = there.argmax("time").where(there.any("time"))
    return found.drop_vars("output_channel", errors="ignore").astype(float)


def graph_panel(networks: Networks, i: int) -> xr.Dataset:
    """One network's reduced-dynamics graph, as the store keeps it, without what pads it."""
    graph = networks.graph.isel(network=[i])
    nodes, edges = (max(int(graph[name].values[0]), 1) for name in ("n_nodes", "n_edges"))
    labels = ("name", "hidden_size", "graph_key")
    return xr.Dataset(
        {name: graph[name].variable for name in _GRAPH},
        coords={"network": graph["network"].values, "input_symbol": graph["input_symbol"].variable}
        | {name: networks.ds[name].variable[[i]] for name in labels},
        attrs={"description": f"reduced dynamics of network {networks.label(i)}"},
    ).isel(node=slice(nodes), edge=slice(edges))


def network_panels(networks: Networks, i: int, panels: tuple[str, ...]) -> dict[str, xr.Dataset]:
    """Panels of one network: ``activity``, ``beyond``, ``graph``."""
    make = {"activity": activity_panel, "beyond": beyond_panel, "graph": graph_panel}
    return {name: make[name](networks, i) for name in panels}


def typical(networks: Networks, key: str) -> int:
    """The network of a graph that answers most like the others of that graph far beyond training.

    Of the first `MOST` that have it: the one with the smallest mean share of steps (for the
    discrimination tasks of trials) at which its answer is another than theirs.
    """
    members = networks.members(key)[:MOST].tolist()
    out = networks.beyond(members)
    if networks.task.name == "interval_reproduction":
        answer = (out["output"].isel(output_channel=0) > GO).values
    else:
        answer = np.rint(_answers(networks, out)["response"].values)
    flat = answer.reshape(len(members), -1)
    other = [float(np.mean(flat != row)) for row in flat]
    return int(members[int(np.argmin(other))])


def trained_span(task: str, parameter: str) -> tuple[int, int]:
    """Smallest and largest trained value of a parameter."""
    from solspace.plots.extrapolation import trained_values
    from solspace.tasks import get_task

    values = trained_values(get_task(task))[parameter]
    return int(values.min()), int(values.max())


def right_share(beyond: xr.Dataset, task: str) -> dict[str, float]:
    """Share of answers that are right within the trained parameters, and beyond them.

    Right is the sign of the response rounded; trials whose stimuli are equal do not count.
    """
    names = [n for n in ("f1", "f2", "delay", "t1", "t2") if n in beyond.coords]
    within = np.ones(beyond.sizes["trial"], bool)
    for name in names:
        low, high = trained_span(task, name)
        within &= (beyond[name].values >= low) & (beyond[name].values <= high)
    asked = np.sign(beyond[names[0]].values - beyond[names[1]].values)
    right = np.rint(beyond["response"].values[0]) == asked
    counts = asked != 0
    return {
        "within": float(right[counts & within].mean()),
        "beyond": float(right[counts & ~within].mean()),
    }
