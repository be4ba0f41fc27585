"""What is taken for a network of an architecture, what is refused, and what an import says."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from solspace import SolspaceError, add_population, get_task, import_networks
from solspace.cli import main
from solspace.networks import PARAMETERS, from_state_dict, parameter_shapes
from solspace.population import network_weights

ROOT = Path(__file__).resolve().parents[1]
TASK = "interval_reproduction"
TRAIN = ["--task", TASK, "--architecture", "vanilla"]


class Model(torch.nn.Module):
    """One recurrent layer and one readout, and what else a test gives it."""

    def __init__(self, rnn=None, fc=None, **more) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = torch.nn.RNN(2, 6, batch_first=True) if rnn is None else rnn
        self.fc = torch.nn.Linear(6, 1) if fc is None else fc
        for name, value in more.items():
            if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x):
        return self.fc(self.rnn(x)[0])


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*do not do the task")
        yield


def imported(model, architecture="vanilla"):
    return import_networks(TASK, architecture, {"mine": model})


def refused(model, *words: str, architecture="vanilla") -> None:
    with pytest.raises(SolspaceError) as caught:
        imported(model, architecture)
    for word in ("mine", *words):
        assert word in str(caught.value)


# --------------------------------------------------------------------------- modules


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("vanilla", torch.nn.RNN), ("gru", torch.nn.GRU), ("lstm", torch.nn.LSTM)],
)
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_module_does_the_same_once_imported(architecture, kind, batch_first, bias):
    model = Model(kind(2, 6, batch_first=batch_first, bias=bias), torch.nn.Linear(6, 1, bias=bias))
    ds = imported(model, architecture)
    trials = get_task(TASK).recorded_trials()
    x = torch.from_numpy(trials.input)
    with torch.no_grad():
        out = model(x) if batch_first else model(x.swapaxes(0, 1)).swapaxes(0, 1)
    loss = float(np.mean((out.numpy() - trials.target) ** 2))
    assert ds.loss.item() == pytest.approx(loss, rel=1e-5)
    if bias:
        same = imported(model.state_dict(), architecture)
        xr.testing.assert_identical(ds, same)


def test_a_module_may_hold_what_computes_nothing():
    model = Model(drop=torch.nn.Dropout(0.2), loss=torch.nn.MSELoss(), same=torch.nn.Identity())
    model.again = torch.nn.ModuleList([model.rnn])  # the same layer under a second name
    ds = imported(torch.nn.DataParallel(model))
    np.testing.assert_array_equal(
        network_weights(ds, 0)["weight_out"], model.fc.weight.detach().numpy()
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: Model(torch.nn.RNN(2, 6, nonlinearity="relu")), ["rnn", "nonlinearity is relu"]),
        (lambda: Model(torch.nn.RNN(2, 6, num_layers=2)), ["2 layers"]),
        (lambda: Model(torch.nn.RNN(2, 6, bidirectional=True)), ["two directions"]),
        (lambda: Model(torch.nn.GRU(2, 6)), ["rnn is an nn.GRU", "vanilla was asked for"]),
        (lambda: Model(torch.nn.RNNCell(2, 6)), ["0 of nn.RNN", "rnn RNNCell"]),
        (lambda: Model(encoder=torch.nn.Linear(2, 2)), ["2 of nn.Linear", "encoder Linear"]),
        (lambda: Model(h0=torch.nn.Parameter(torch.zeros(6))), ["h0 would be ignored"]),
        (lambda: Model(alpha=torch.tensor(0.2)), ["alpha would be ignored"]),
        (lambda: Model(act=torch.nn.ReLU()), ["act ReLU would be ignored"]),
        (lambda: Model(norm=torch.nn.LayerNorm(6)), ["norm LayerNorm would be ignored"]),
        (lambda: torch.nn.Linear(2, 1), ["0 of nn.RNN"]),
        (lambda: Model(torch.nn.RNN(3, 6)), ["weight_ih_l0 is (6, 3)", "expected (6, 2)"]),
        (lambda: Model(torch.nn.RNN(2, 6, device="meta")), ["without values"]),
    ],
)
def test_a_module_that_is_something_else_is_refused(model, words):
    refused(model(), *words)


def test_a_projected_lstm_and_a_normalized_weight_are_refused():
    refused(Model(torch.nn.LSTM(2, 8, proj_size=6)), "projected to 6", architecture="lstm")
    model = Model()
    torch.nn.utils.parametrizations.weight_norm(model.rnn, "weight_hh_l0")
    refused(model, "would be ignored")


# --------------------------------------------------------------------------- state dicts


@pytest.mark.parametrize("name", ["h0", "alpha", "rnn.h0", "encoder", "fc.scale", "rnn.tau"])
def test_a_parameter_that_would_be_ignored_is_named(name):
    state = Model().state_dict() | {name: torch.zeros(6)}
    refused(state, f"{name} would be ignored", "one recurrent layer")
    shapes = parameter_shapes("vanilla", 6, inputs=2, outputs=1)
    own = {n: np.zeros(shape) for n, shape in shapes.items()}
    assert imported(own).hidden_size.item() == 6
    refused(own | {name: np.zeros(6)}, f"{name} would be ignored")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.to(torch.complex64), ["weight_hh_l0", "complex64", "real numbers"]),
        (lambda t: t.to_sparse(), ["weight_hh_l0 is sparse_coo", "dense"]),
        (lambda t: t > 0, ["weight_hh_l0", "bool"]),
        (lambda t: t.numpy() * 1j, ["complex"]),
        (lambda t: None, ["weight_hh_l0", "NoneType"]),
        (lambda t: [[1.0, 2.0], [3.0]], ["weight_hh_l0", "list"]),
        (lambda t: "weights.pt", ["weight_hh_l0", "str"]),
        (lambda t: t.double() * 1e300, ["NaN or infinity"]),
    ],
)
def test_values_that_are_no_real_numbers_are_refused(change, words):
    state = dict(Model().state_dict())
    state["rnn.weight_hh_l0"] = change(state["rnn.weight_hh_l0"])
    refused(state, *words)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floats_are_taken_for_what_they_are(dtype):
    state = {k: v.to(dtype) for k, v in Model().state_dict().items()}
    ds = imported(state)
    expected = state["rnn.weight_hh_l0"].float().numpy()
    np.testing.assert_array_equal(network_weights(ds, 0)["weight_hh"][0], expected)


def test_a_network_of_no_units_is_refused():
    shapes = parameter_shapes("vanilla", 0, inputs=2, outputs=1)
    refused({name: np.zeros(shape) for name, shape in shapes.items()}, "hidden size 0")


def test_names_that_are_no_text_and_things_that_are_no_network_are_refused():
    refused({0: torch.zeros(3)}, "found 0 (int)")
    refused([1, 2], "a list", "torch module")
    refused("weights.pt", "a str")
    state = Model().state_dict()
    for networks, words in (
        ({3: state}, "names 3"),
        ([state], "a list"),
        (Model(), "a Model"),
        ({}, "no networks"),
    ):
        with pytest.raises(SolspaceError, match=words):
            import_networks(TASK, "vanilla", networks)
    with pytest.raises(SolspaceError, match=r"initial weights of other, .* none of .*: mine"):
        import_networks(TASK, "vanilla", {"mine": state}, initial={"other": state})


def test_layers_under_two_prefixes_are_refused():
    state = {k.replace("rnn.bias", "rnn2.bias"): v for k, v in Model().state_dict().items()}
    refused(state, "expected one recurrent layer")


# --------------------------------------------------------------------------- losses


@pytest.fixture(scope="module")
def trained():
    """A network that does the task: the first that ships with the project."""
    ds = xr.open_zarr(ROOT / "stores" / "turner2021.zarr", group=f"{TASK}/vanilla")
    return network_weights(ds.isel(network=[0]).load(), 0)


def test_a_function_warns_where_a_network_does_not_do_the_task(trained):
    assert set(trained) == set(PARAMETERS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        good = import_networks(TASK, "vanilla", {"good": trained})
    assert good.loss.item() < 2e-4
    # A relu network's state dict, taken for tanh, shows by its loss.
    bad = Model().state_dict()
    with pytest.warns(
        UserWarning, match=r"1 of 2 networks do not .* over 10 times .* 0.0001: bad 0\.\d+"
    ):
        import_networks(TASK, "vanilla", {"good": trained, "bad": bad})


def test_the_command_says_every_loss_beside_the_target(tmp_path, trained, capsys):
    from solspace.networks import to_state_dict

    torch.save(to_state_dict(trained), tmp_path / "good.pt")
    torch.save(Model().state_dict(), tmp_path / "bad.pt")
    files = [str(tmp_path / f"{name}.pt") for name in ("good", "bad")]
    assert main(["import", str(tmp_path / "one.zarr"), *TRAIN, files[0]]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"good: loss \S+ \(target 0\.0001\)", out)
    assert err == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the command says it in its own words
        assert main(["import", str(tmp_path / "two.zarr"), *TRAIN, *files]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"bad: loss 0\.\d+ \(target 0\.0001\)", out)
    assert re.match(r"solspace: WARNING: 1 of 2 networks do not do the task .*: bad 0\.", err)


def test_a_planar_import_says_its_losses_too(tmp_path, capsys):
    np.save(tmp_path / "some.npy", np.array([[[1.066, 0.482], [-0.659, 1.314]], np.eye(2) * 3]))
    asked = ["--task", "two_neuron", "--architecture", "planar"]
    assert main(["import", str(tmp_path / "x.zarr"), *asked, str(tmp_path / "some.npy")]) == 0
    out, err = capsys.readouterr()
    assert "some_00000: loss" in out
    assert "1 of 2 networks do not do the task two_neuron" in err


def test_help_says_what_vanilla_means(capsys):
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    assert re.search(r"vanilla\s+means tanh", capsys.readouterr().out)
    assert "tanh" in import_networks.__doc__
    assert "tanh" in from_state_dict.__doc__


def test_what_is_refused_writes_nothing(tmp_path):
    model = Model(h0=torch.nn.Parameter(torch.zeros(6)))
    torch.save(model.state_dict(), tmp_path / "learned.pt")
    store = tmp_path / "x.zarr"
    assert main(["import", str(store), *TRAIN, str(tmp_path / "learned.pt")]) == 2
    assert not store.exists()


def test_a_module_reaches_a_store(tmp_path):
    store = str(tmp_path / "x.zarr")
    ds = imported(Model())
    add_population(store, ds)
    there = xr.open_zarr(store, group=f"{TASK}/vanilla")
    np.testing.assert_array_equal(there.weight_hh.values, ds.weight_hh.values)
