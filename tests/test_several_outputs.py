"""A task of several outputs: trained, recorded and extrapolated; graphs are made of one output."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

from solspace import (
    Recipe,
    SolspaceError,
    check_store,
    create_population,
    extrapolate,
    get_task,
    new_population,
    record,
    reduce,
    register_task,
    run_stage,
    train,
    verify,
)
from solspace.cli import main
from solspace.population import network_weights
from solspace.reduction import METHODS, reduce_network
from solspace.verification.stage import draw_others

QUICK = Recipe(target_loss=0.5, max_steps=200, learning_rate=0.01, attempts=1, check_every=10)


def _doubled(make):
    """The trials of a task with its target a second time, with the other sign."""

    def trials(*args):
        one = make(*args)
        return dataclasses.replace(one, target=np.concatenate([one.target, -one.target], axis=2))

    return trials


@pytest.fixture(scope="module")
def task():
    one = get_task("interval_reproduction")
    sets = ("training_trials", "recorded_trials", "extrapolation_trials")
    return register_task(
        dataclasses.replace(
            one,
            name="two_answers",
            outputs=("go", "opposite"),
            recipes={"vanilla": QUICK},
            **{name: _doubled(getattr(one, name)) for name in sets},
        )
    )


@pytest.fixture(scope="module")
def trained(task):
    return train(new_population(task, "vanilla", networks=2, hidden_size=6))


MESSAGE = r"task 'two_answers' has 2 outputs \(go, opposite\).* not reduced"


def test_it_is_trained_recorded_and_extrapolated(trained):
    assert trained.status_train.values.tolist() == [1, 1]
    assert record(trained).output.sizes["output_channel"] == 2
    assert np.isfinite(extrapolate(trained).output.values).all()


@pytest.mark.parametrize("method", METHODS)
def test_no_method_reduces_it(task, trained, method):
    with pytest.raises(SolspaceError, match=MESSAGE):
        reduce(trained, method=method)
    with pytest.raises(SolspaceError, match=MESSAGE):
        reduce_network(task, "vanilla", network_weights(trained, 0), method=method)


def test_it_is_not_verified(trained):
    # As though graphs had been made of it before.
    labeled = trained.assign(automaton_key=("network", np.array(["v2:0", "v2:0"], dtype=object)))
    for ask in (verify, draw_others):
        with pytest.raises(SolspaceError, match=MESSAGE):
            ask(labeled)


def test_a_store_of_it_says_so_and_stays_as_it_is(task, tmp_path, capsys):
    store = str(tmp_path / "x.zarr")
    create_population(store, new_population(task, "vanilla", networks=2, hidden_size=6))
    for stage in ("train", "record", "extrapolate"):
        (outcome,) = run_stage(store, stage)
        assert outcome.done == 2
    for stage in ("reduce", "verify"):
        with pytest.raises(SolspaceError, match=MESSAGE):
            run_stage(store, stage)
        with pytest.raises(SolspaceError, match=MESSAGE):
            run_stage(store, stage, redo=True)
    capsys.readouterr()
    assert main(["reduce", store, "--quiet"]) == 2
    assert "2 outputs (go, opposite)" in capsys.readouterr().err
    ds = xr.open_zarr(store, group="two_answers/vanilla")
    assert ds.status_reduce.values.tolist() == [0, 0]
    assert check_store(store) == []
