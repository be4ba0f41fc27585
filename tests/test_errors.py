"""What an error says to do can be done."""

from __future__ import annotations

import re

import numpy as np
import pytest

import solspace
from solspace import SolspaceError
from solspace.errors import how_to_make
from solspace.networks import parameter_shapes
from solspace.stages import collection, record_of


@pytest.mark.parametrize("name", sorted(collection.stages(None)))
def test_how_to_make_names_the_stage_s_function_and_command(name):
    said = how_to_make(name)
    (function,) = re.findall(r"solspace\.(\w+)\(ds\)", said)
    (verb,) = re.findall(r"`solspace ([\w-]+) STORE`", said)
    assert record_of(getattr(solspace, function)).verb == verb
    assert record_of(getattr(solspace, function)).name == name


@pytest.fixture(scope="module")
def labeled():
    rng = np.random.default_rng(0)
    shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    nets = {str(i): {n: rng.normal(0, 0.3, s) for n, s in shapes.items()} for i in range(2)}
    population = solspace.import_networks("interval_reproduction", "vanilla", nets)
    return solspace.reduce(population)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", ["record", "extrapolate", "reduce", "verify"])
def test_activity_given_for_a_population_is_refused(labeled, name, lazy):
    training = labeled.drop_vars(["weight_hh", "weight_out"])
    with pytest.raises(SolspaceError, match=f"^{name}: the dataset has no 'weight_hh'; give the"):
        getattr(solspace, name)(training.chunk(network=1) if lazy else training)


@pytest.mark.parametrize("name", ["record", "extract_features", "reduce", "classify"])
def test_a_path_given_for_a_dataset_is_refused(name):
    with pytest.raises(SolspaceError, match=r"was given a str; give a dataset, such as xarray\.op"):
        getattr(solspace, name)("demo.zarr")


def test_a_path_given_for_a_table_is_refused():
    with pytest.raises(SolspaceError, match="network_table was given a str; give a dataset"):
        solspace.network_table("demo.zarr")


def test_a_population_without_graphs_is_refused_where_graphs_are_needed(labeled):
    bare = labeled.drop_vars(["n_nodes"])
    with pytest.raises(SolspaceError, match="no 'n_nodes'; give the group TASK/ARCHITECTURE/graph"):
        solspace.graph_of(bare, 0)
    with pytest.raises(SolspaceError, match=r"no 'n_nodes'; give what solspace\.reduce"):
        solspace.verify(bare)
    with pytest.raises(SolspaceError, match=r"no 'automaton_key'; give what solspace\.reduce"):
        solspace.verify(labeled.drop_vars(["automaton_key"]))
