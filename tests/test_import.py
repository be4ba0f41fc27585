"""What is taken for a network of an architecture, what is refused, and what an import says."""

from __future__ import annotations

import dataclasses
import re
import warnings
import zipfile
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


class Squashed(Model):
    """One whose output goes through what no part of it shows."""

    def forward(self, x):
        return super().forward(x).sigmoid()


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
        # What is there and what its forward does not use, or uses otherwise: its output tells.
        (lambda: Model(encoder=torch.nn.Linear(2, 2)), ["forward does something else", "off by"]),
        (lambda: Model(h0=torch.nn.Parameter(torch.ones(6))), ["forward does something else"]),
        (lambda: Squashed(), ["forward does something else"]),
        (lambda: Model(h0=torch.nn.Parameter(torch.ones(7))), ["h0 would be ignored"]),
        (lambda: Model(other=torch.nn.RNN(2, 6)), ["2 of nn.RNN"]),
        (lambda: Model(mlp=torch.nn.Linear(6, 6)), ["one linear readout", "mlp.weight (6, 6)"]),
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


@pytest.mark.parametrize("name", ["s0", "alpha", "encoder", "fc.scale", "rnn.tau"])
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
    with pytest.raises(SolspaceError, match=r"weights\.pt: no such file"):
        import_networks(TASK, "vanilla", {"mine": "weights.pt"})
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


# --------------------------------------------------------------------------- hostile files


def _zip(path, entries) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def _saved(change):
    """A state dict in which one weight is something else."""

    def write(path):
        state = dict(Model().state_dict())
        state["rnn.weight_hh_l0"] = change(state["rnn.weight_hh_l0"])
        torch.save(state, path)

    return write


def _npy(shape: str) -> bytes:
    """A header of NumPy's that says more than there is."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


NO_UNITS = parameter_shapes("vanilla", 0, inputs=2, outputs=1)
HOSTILE = {
    "bomb.pt": (lambda p: _zip(p, {"a/data.pkl": bytes(1 << 27)}), "unpacks to 134 MB"),
    "bomb.npz": (lambda p: _zip(p, {"weight_hh.npy": bytes(1 << 27)}), "unpacks to 134 MB"),
    "claims.npz": (lambda p: _zip(p, {"w.npy": _npy("(99999, 99999)")}), "cannot be read as"),
    "objects.npz": (lambda p: np.savez(p, w=np.array([{}], object)), "allow_pickle"),
    "text.npz": (lambda p: _zip(p, {"w.txt": b"hello"}), "'w.txt' in it is no array"),
    "complex.pt": (_saved(lambda t: t * 1j), "complex64"),
    "sparse.pt": (_saved(lambda t: t.to_sparse()), "sparse_coo"),
    "view.pt": (_saved(lambda t: t[:1, :1].expand(1 << 20, 1 << 20)), "has 1099511627776 values"),
    "flags.pt": (_saved(lambda t: t > 0), "bool"),
    "keys.pt": (lambda p: torch.save({0: torch.zeros(3)}, p), "found 0 (int)"),
    "list.pt": (lambda p: torch.save([1], p), "holds a list"),
    "two.pt": (
        lambda p: torch.save({k: Model().state_dict() for k in ("model", "ema")}, p),
        "2 state dicts (model, ema)",
    ),
    "module.pt": (lambda p: torch.save(Model(), p), "torch.save(model.state_dict(), path)"),
    "none.npz": (
        lambda p: np.savez(p, **{n: np.zeros(s) for n, s in NO_UNITS.items()}), "hidden size 0",
    ),
    "text.pt": (lambda p: p.write_text("hello"), "text.pt"),
    "half.safetensors": (lambda p: p.write_bytes(b"\xff" * 40), "as .safetensors"),
    "zip.pt": (lambda p: p.write_bytes(b"PK\x05\x06" + bytes(18)), "zip.pt"),
    "folder.pt": (lambda p: p.mkdir(), "is a folder"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(name, tmp_path, capsys):
    write, words = HOSTILE[name]
    write(tmp_path / name)
    assert main(["import", str(tmp_path / "x.zarr"), *TRAIN, str(tmp_path / name)]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "x.zarr").exists()


def test_which_linear_layer_is_the_readout_is_asked_where_it_cannot_be_told():
    """As many units as inputs and outputs: an encoder and a readout have one shape."""
    torch.manual_seed(0)
    linear = {name: torch.nn.Linear(2, 2) for name in ("a", "b")}
    model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 2)} | linear)
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    how = {"inputs": 2, "outputs": 2}
    with pytest.raises(SolspaceError, match=r"\(a, b may be\); give --readout NAME"):
        from_state_dict(state, "vanilla", **how)
    found = from_state_dict(state, "vanilla", readout="a", **how)
    np.testing.assert_array_equal(found["weight_out"], state["a.weight"])
    folded = state["rnn.weight_ih_l0"] @ state["b.weight"]
    np.testing.assert_allclose(found["weight_ih"][0], folded, rtol=1e-5, atol=1e-7)
    with pytest.raises(SolspaceError, match="readout 'c' is asked for"):
        from_state_dict(state, "vanilla", readout="c", **how)


# --------------------------------------------------------------------------- a learned start


class Steps(torch.nn.Module):
    """A cell run step by step, from a learned state where one is given, after a linear encoder."""

    def __init__(self, cell, encoder=None, **starts) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.cell, self.out = cell, torch.nn.Linear(6, 1, bias=False)
        self.encoder = torch.nn.Identity() if encoder is None else encoder
        for name, value in starts.items():
            setattr(self, name, torch.nn.Parameter(value))

    def forward(self, x):
        zero = x.new_zeros(len(x), 6)
        h, c = (getattr(self, n, zero).reshape(-1, 6).expand(len(x), 6) for n in ("h0", "c0"))
        out = []
        for t in range(x.shape[1]):
            given = self.encoder(x[:, t])
            if isinstance(self.cell, torch.nn.LSTMCell):
                h, c = self.cell(given, (h, c))
            else:
                h = self.cell(given, h)
            out.append(self.out(h))
        return torch.stack(out, 1)


def test_a_learned_start_goes_through_the_stages(tmp_path):
    """In memory, over a store, from a state dict, and where a silence is at the beginning."""
    from solspace import record
    from solspace.attractors.network import silent_states
    from solspace.networks import as_float64, run, run_population
    from solspace.run.loop import run_stage
    from solspace.tasks.silences import silences_of
    from solspace.training import train_further

    torch.manual_seed(0)
    started = Steps(torch.nn.LSTMCell(2, 6), h0=torch.randn(1, 6), c0=torch.randn(6))
    networks = {"zero": Steps(torch.nn.LSTMCell(2, 6)), "started": started}
    ds = import_networks(TASK, "lstm", networks)
    xr.testing.assert_identical(
        ds, import_networks(TASK, "lstm", {k: m.state_dict() for k, m in networks.items()})
    )
    assert set(network_weights(ds, 1)) - set(network_weights(ds, 0)) == {
        "start_activity", "start_cell_state",
    }  # fmt: skip
    trials = get_task(TASK).recorded_trials()
    with torch.no_grad():
        own = started(torch.from_numpy(trials.input)).numpy()
    path = str(tmp_path / "x.zarr")
    add_population(path, ds)
    run_stage(path, "record")
    stored = xr.open_zarr(path, group=f"{TASK}/lstm/training")
    np.testing.assert_allclose(stored.output.values[1], own, atol=1e-6)
    np.testing.assert_allclose(record(ds).activity, stored.activity, atol=1e-6)
    np.testing.assert_allclose(record(ds, device="cpu").output.values[1], own, atol=1e-5)
    weights = network_weights(xr.open_zarr(path, group=f"{TASK}/lstm"), 1)
    np.testing.assert_allclose(
        run("lstm", as_float64("lstm", weights), trials.input)[1], own, atol=1e-6
    )
    tensors = {k: torch.from_numpy(np.float64(v))[None] for k, v in weights.items()}
    both = run_population("lstm", tensors, torch.from_numpy(np.float64(trials.input)))
    np.testing.assert_allclose(both[1][0], own, atol=1e-6)
    silences = silences_of(get_task(TASK))
    silences = dataclasses.replace(silences, start=np.zeros_like(silences.start))
    at = silent_states("lstm", weights, silences)
    start = np.concatenate([weights["start_activity"], weights["start_cell_state"]])
    np.testing.assert_allclose(at, np.tile(start, (len(at), 1)))
    with pytest.raises(SolspaceError, match=r"start_activity.* not trained"):
        train_further(TASK, "lstm", weights, seed=1, steps=1, rate=1e-3)


# --------------------------------------------------------------------------- outputs of one's own


def test_outputs_that_were_saved_are_compared(tmp_path, capsys):
    model = Model()
    with torch.no_grad():
        own = model(torch.from_numpy(get_task(TASK).recorded_trials().input)).numpy()
    for given in ({"mine": own}, own, torch.from_numpy(own)):
        ds = import_networks(TASK, "vanilla", {"mine": model.state_dict()}, check_against=given)
        assert ds.attrs["largest_output_difference"] < 1e-6
    torch.save(model.state_dict(), tmp_path / "mine.pt")
    read = import_networks(TASK, "vanilla", {"mine": tmp_path / "mine.pt"}, check_against=own)
    assert read.identical(ds)
    files = [str(tmp_path / "mine.pt"), "--check-against", str(tmp_path / "out.npz")]
    for arrays, words in (
        ({"mine": own + np.float32(2e-3) * (own > own.mean())}, "off by up to 0.002"),
        ({"other": own, "mine": own}, "outputs of other, mine, expected one array for each"),
        ({"mine": own[:, :-1]}, "expected numbers (trial, time, output_channel)"),
        ({"mine": own * np.nan}, "holds NaN"),
    ):
        np.savez(tmp_path / "out.npz", **arrays)
        assert main(["import", str(tmp_path / "x.zarr"), *TRAIN, *files]) == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "x.zarr").exists()
    np.savez(tmp_path / "out.npz", mine=own)
    assert main(["import", str(tmp_path / "x.zarr"), *TRAIN, *files]) == 0
    assert re.search(r"outputs: at most \S+e-0\d from those of .*out.npz", capsys.readouterr().out)


def test_another_nonlinearity_that_does_the_task_is_asked_for(trained):
    """The state dict of a tanh network taken for a rectified one."""
    words = r"mine \S+ \(as vanilla \S+e-05\).*--architecture vanilla, or.*--nonlinearity relu"
    with pytest.raises(SolspaceError, match=words):
        import_networks(TASK, "relu", {"mine": trained})
    # Said to be so, it is taken, and its loss is said.
    with pytest.warns(UserWarning, match=r"target 0.0001: mine \S+ \(as vanilla its"):
        ds = import_networks(TASK, "relu", {"mine": trained}, nonlinearity="relu")
    assert ds.loss.item() > 1e-3


# --------------------------------------------------------------------------- further imports


def test_networks_are_added_to_those_there(tmp_path, capsys):
    from solspace import check_store
    from solspace.run.loop import run_stage
    from solspace.store import Store, replacing

    def files(sizes, start):
        out = []
        for i, size in enumerate(sizes, start):
            model = Model(torch.nn.RNN(2, size), torch.nn.Linear(size, 1))
            out.append(str(tmp_path / f"n{i}.pt"))
            torch.save(model.state_dict(), out[-1])
        return out

    path = str(tmp_path / "x.zarr")
    assert main(["import", path, *TRAIN, *files([6, 5, 6], 0), "--shard-size", "2"]) == 0
    for stage in ("record", "reduce"):
        run_stage(path, stage)
    group = f"{TASK}/vanilla"
    before = {g: xr.open_zarr(path, group=f"{group}{g}").load() for g in ("", "/training")}
    capsys.readouterr()
    assert main(["import", path, *TRAIN, *files([9], 3)]) == 0
    out = capsys.readouterr().out
    assert "1 networks after the 3 there were, 4 now" in out
    assert "n3: loss" in out
    assert "n0" not in out
    for g, old in before.items():
        there = xr.open_zarr(path, group=f"{group}{g}").load()
        assert there.sizes["unit"] == 9
        assert there.name.values.tolist() == ["n0", "n1", "n2", "n3"]
        for name, array in old.variables.items():
            again = there[name].variable
            cut = {d: slice(array.sizes[d]) for d in array.dims}
            assert again.isel(cut).equals(array), name
            if "network" in array.dims and "unit" in array.dims and array.dtype.kind == "f":
                assert again.isel(network=slice(3), unit=slice(6, None)).isnull().all()
    there = xr.open_zarr(path, group=group)
    assert (there.status_reduce.values != 0).tolist() == [True, True, True, False]
    assert check_store(path) == []
    assert [o.computed for s in ("record", "reduce") for o in run_stage(path, s)] == [1, 1]
    assert check_store(path) == []
    weights = network_weights(xr.open_zarr(path, group=group), 3)
    assert weights["weight_hh"].shape == (1, 9, 9)
    for given, words in ((files([6], 1), "networks named n1 already"),):
        assert main(["import", path, *TRAIN, *given]) == 2
        assert words in capsys.readouterr().err
    # Killed between the two renames: the one before comes back.
    folder = Store(path).populations()[0].folder()
    Path(folder).rename(folder + replacing.OLD)
    assert main(["import", path, *TRAIN, *files([6], 7)]) == 0
    assert len(xr.open_zarr(path, group=group).name) == 5


def test_networks_trained_there_get_no_others_beside_them(tmp_path):
    path = str(tmp_path / "x.zarr")
    there = imported(Model())
    del there.attrs["origin"]  # as that of a population that was trained
    add_population(path, there)
    with pytest.raises(SolspaceError, match=r"trained and not imported.*another store"):
        add_population(path, imported(Model()))


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
    model = Model(start=torch.nn.Parameter(torch.zeros(6)))
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
