"""What a user types, with the type each call has: mypy and pyright find nothing to say.

Nothing here runs; tests/test_public_names.py gives it to the checkers, from another folder and
through an installed package.
"""

from typing import assert_type

import numpy as np
import xarray as xr

import solspace


def a_population_in_memory(weights: dict[str, dict[str, np.ndarray]]) -> None:
    population = solspace.import_networks("interval_reproduction", "vanilla", weights)
    assert_type(population, xr.Dataset)
    training = solspace.record(population)
    assert_type(training, xr.Dataset)
    assert_type(training.mean("trial"), xr.Dataset)
    assert_type(solspace.extract_features(training), xr.Dataset)
    assert_type(solspace.reduce(population), xr.Dataset)
    assert_type(solspace.label(solspace.reduce(population), by="graph_key"), xr.Dataset)
    assert_type(solspace.graph_of(population, 0).n_nodes, int)


def a_task() -> None:
    task = solspace.get_task("interval_reproduction")
    assert_type(task, solspace.Task)
    assert_type(task.recorded_trials(), solspace.Trials)
    assert_type(task.recipes["vanilla"], solspace.Recipe)
    assert_type(task.recipes["vanilla"].max_steps, int)


def a_store(path: str) -> None:
    try:
        assert_type(solspace.check_store(path), list[str])
        assert_type(solspace.open_population(path, "interval_reproduction", "gru"), xr.Dataset)
    except solspace.SolspaceError as error:
        assert_type(error, solspace.SolspaceError)
    assert_type(solspace.__version__, str)
