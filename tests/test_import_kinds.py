"""Kinds of networks as people save them: imported, and compared with torch's own run of them.

The table of docs/import.md is what this finds; the page runs as written.
"""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blocks import python_blocks
from torch import nn

from solspace import SolspaceError, get_task, import_networks, read_networks
from solspace.cli import main
from solspace.networks import run
from solspace.population import network_weights

PAGE = Path(__file__).resolve().parents[1] / "docs" / "import.md"
TASK = "interval_reproduction"
CLOSE = 1e-5  # float32 along some hundred steps
N = 7


class Net(nn.Module):
    """A recurrent layer of torch's and what is around it; activity and output of all steps."""

    def __init__(self, layer, readout=None, encoder=None, **starts) -> None:
        super().__init__()
        self.layer = layer
        self.readout = nn.Linear(N, 1) if readout is None else readout
        self.encoder = nn.Identity() if encoder is None else encoder
        for name, value in starts.items():
            setattr(self, name, nn.Parameter(value))

    def states(self, x):
        x = self.encoder(x)
        start = tuple(getattr(self, n) for n in ("h0", "c0") if hasattr(self, n))
        start = tuple(s.reshape(1, 1, N).expand(1, len(x), N).contiguous() for s in start)
        first = self.layer.batch_first
        given = x if first else x.swapaxes(0, 1)
        out, _ = self.layer(given, *((start if len(start) > 1 else start[0],) if start else ()))
        return out if first else out.swapaxes(0, 1)

    def forward(self, x):
        return self.readout(self.states(x))


class Cell(Net):
    """A cell of torch's in a loop."""

    def states(self, x):
        zero = x.new_zeros(len(x), N)
        h, c = (getattr(self, n, zero).reshape(-1, N).expand(len(x), N) for n in ("h0", "c0"))
        out = []
        for t in range(x.shape[1]):
            given = self.encoder(x[:, t])
            if isinstance(self.layer, nn.LSTMCell):
                h, c = self.layer(given, (h, c))
            else:
                h = self.layer(given, h)
            out.append(h)
        return torch.stack(out, 1)


class Leaky(nn.Module):
    """A leaky network as it is mostly written: two linear layers and a share of the way."""

    def __init__(self, nonlinearity, alpha) -> None:
        super().__init__()
        self.input2h, self.h2h, self.fc = nn.Linear(2, N), nn.Linear(N, N), nn.Linear(N, 1)
        self.nonlinearity, self.alpha = nonlinearity, alpha

    def states(self, x):
        h, out = x.new_zeros(len(x), N), []
        for t in range(x.shape[1]):
            new = self.nonlinearity(self.input2h(x[:, t]) + self.h2h(h))
            h = h * (1 - self.alpha) + new * self.alpha
            out.append(h)
        return torch.stack(out, 1)

    def forward(self, x):
        return self.fc(self.states(x))


def as_module(model: Any, folder: Path) -> Any:
    return model


def as_state_dict(model: Any, folder: Path) -> Any:
    torch.save(model.state_dict(), folder / "mine.pt")
    return folder / "mine.pt"


def as_checkpoint(model: Any, folder: Path) -> Any:
    optimizer = torch.optim.Adam(model.parameters())
    kept = {"epoch": 3, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(kept, folder / "mine.pt")
    return folder / "mine.pt"


def as_safetensors(model: Any, folder: Path) -> Any:
    from safetensors.torch import save_file

    save_file(model.state_dict(), folder / "mine.safetensors")
    return folder / "mine.safetensors"


def as_arrays(model: Any, folder: Path) -> Any:
    """Under the names of this package, gates folded into units as torch has them."""
    layer = {k.removesuffix("_l0"): v.numpy() for k, v in model.layer.state_dict().items()}
    out = {"weight_out": model.readout.weight, "bias_out": model.readout.bias}
    np.savez(folder / "mine.npz", **layer, **{k: v.detach().numpy() for k, v in out.items()})
    return folder / "mine.npz"


def as_other_arrays(model: Any, folder: Path) -> Any:
    np.savez(folder / "mine.npz", W=model.layer.weight_hh_l0.detach().numpy())
    return folder / "mine.npz"


def as_half(model: Any, folder: Path) -> Any:
    model.to(torch.bfloat16)
    path = as_state_dict(model, folder)
    model.to(torch.float32)  # what it was rounded to
    return path


def as_pickle(model: Any, folder: Path) -> Any:
    torch.save(model, folder / "mine.pt")
    return folder / "mine.pt"


@dataclass
class Kind:
    """One kind of network: what it is, how it is kept, what it is asked to be."""

    title: str
    make: Callable[[], Any]
    keep: Callable[[Any, Path], Any]
    architecture: str
    options: dict[str, Any] = field(default_factory=dict)
    refused: str = ""


def _mlp(kind):
    return nn.Sequential(nn.Linear(N, 5), kind(), nn.Linear(5, 1))


KINDS = [
    Kind("`nn.RNN` and `nn.Linear`", lambda: Net(nn.RNN(2, N)), as_module, "vanilla"),
    Kind(
        "`nn.RNN(nonlinearity=\"relu\")`",
        lambda: Net(nn.RNN(2, N, nonlinearity="relu", batch_first=True)), as_state_dict, "relu",
        {"nonlinearity": "relu"},
    ),
    Kind("`nn.GRU(batch_first=True)`", lambda: Net(nn.GRU(2, N, batch_first=True)),
         as_checkpoint, "gru"),
    Kind("`nn.LSTM` inside `nn.DataParallel`", lambda: nn.DataParallel(Net(nn.LSTM(2, N))),
         as_state_dict, "lstm"),
    Kind("`bias=False` in layer and readout",
         lambda: Net(nn.RNN(2, N, bias=False), nn.Linear(N, 1, bias=False)), as_state_dict,
         "vanilla"),
    Kind("`nn.RNNCell` in a loop", lambda: Cell(nn.RNNCell(2, N)), as_module, "vanilla"),
    Kind("`nn.GRUCell` in a loop", lambda: Cell(nn.GRUCell(2, N)), as_state_dict, "gru"),
    Kind("`nn.LSTMCell`, learned `h0` and `c0`",
         lambda: Cell(nn.LSTMCell(2, N), h0=torch.randn(N), c0=torch.randn(1, N)),
         as_state_dict, "lstm"),
    Kind("`nn.RNN`, learned initial state",
         lambda: Net(nn.RNN(2, N), h0=torch.randn(1, 1, N)), as_module, "vanilla"),
    Kind("`nn.Linear` before `nn.GRU`",
         lambda: Net(nn.GRU(4, N, batch_first=True), encoder=nn.Linear(2, 4)), as_module, "gru"),
    Kind("leaky tanh network, two `nn.Linear`", lambda: Leaky(nn.Tanh(), 0.2), as_module,
         "leaky", {"alpha": 0.2}),
    Kind("leaky rate network, two `nn.Linear`", lambda: Leaky(torch.relu, 0.1), as_state_dict,
         "leaky_rate", {"alpha": 0.1}),
    Kind("arrays `weight_ih`, `weight_hh`, ...", lambda: Net(nn.GRU(2, N)), as_arrays, "gru"),
    Kind("`nn.LSTM`, by `safetensors.torch.save_file`", lambda: Net(nn.LSTM(2, N)), as_safetensors,
         "lstm"),
    Kind("bfloat16", lambda: Net(nn.RNN(2, N)), as_half, "vanilla"),
    Kind("`nn.GRU(num_layers=2)`", lambda: Net(nn.GRU(2, N, num_layers=2)), as_state_dict,
         "gru_2layers"),
    Kind("a hidden layer in the readout", lambda: Net(nn.RNN(2, N), _mlp(nn.ReLU)), as_module,
         "vanilla_relu_readout"),
    Kind("a pickled module, `torch.save(model)`", lambda: Net(nn.RNN(2, N)), as_pickle, "vanilla",
         refused="torch.save(model.state_dict(), path)"),
    Kind("`bidirectional=True`", lambda: Net(nn.GRU(2, N, bidirectional=True), nn.Linear(2 * N, 1)),
         as_module, "gru", refused="two directions"),
    Kind("arrays under other names", lambda: Net(nn.RNN(2, N)), as_other_arrays, "vanilla",
         refused="are to be called weight_ih, weight_hh"),
]  # fmt: skip
_SAVED = {
    as_module: "module", as_state_dict: "`.pt`", as_checkpoint: "`.pt`, a checkpoint",
    as_safetensors: "`.safetensors`", as_arrays: "`.npz`", as_other_arrays: "`.npz`",
    as_half: "`.pt`", as_pickle: "`.pt`",
}  # fmt: skip


def taken(kind: Kind, folder: Path) -> float:
    """How far its activity is from torch's, and its output; an error where it is not taken."""
    torch.manual_seed(len(kind.title))
    model = kind.make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)  # so that it does something
    given = kind.keep(model, folder)
    if isinstance(given, Path):
        ds = read_networks([given], TASK, kind.architecture, **kind.options)
    else:
        ds = import_networks(TASK, kind.architecture, {"mine": given}, **kind.options)
    x = get_task(TASK).recorded_trials().input
    states, output = run(kind.architecture, network_weights(ds, 0), x)
    with torch.no_grad():
        own = getattr(model, "module", model)
        theirs, put_out = own.states(torch.from_numpy(x)), own(torch.from_numpy(x))
    off = np.abs(states[..., :N] - theirs.numpy()).max(), np.abs(output - put_out.numpy()).max()
    return float(max(off))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = []
    for i, kind in enumerate(KINDS):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message=".*do not do the task")
            try:
                out.append((kind, taken(kind, tmp_path_factory.mktemp(f"kind{i}")), ""))
            except SolspaceError as error:
                out.append((kind, np.nan, str(error)))
    return out


def table(found) -> str:
    lines = ["| network | given as | `--architecture` | comes in |", "|---|---|---|---|"]
    for kind, off, _ in found:
        told = {
            n: f"--{n} {v:g}" if n == "alpha" else f"--{n} {v}" for n, v in kind.options.items()
        }
        asked = " ".join([kind.architecture, *told.values()])
        came = "yes" if off < CLOSE else f"no, {off:.2g} off" if off == off else "refused"
        lines.append(f"| {kind.title} | {_SAVED[kind.keep]} | `{asked}` | {came} |")
    return "\n".join(lines)


def test_kinds_of_networks_come_in_with_torchs_activity(found):
    assert len(KINDS) == 20
    for kind, off, error in found:
        if kind.refused:
            assert kind.refused in error, kind.title
        else:
            assert off < CLOSE, (kind.title, error)
    assert sum(off < CLOSE for _, off, _ in found) >= 16


def test_the_table_of_the_page_is_what_was_found(found):
    assert table(found) in PAGE.read_text(), table(found)


class Stepped(nn.Module):
    """Two layers of two sizes and kinds, one scaled, and a squashed readout."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = nn.GRUCell(2, 4), nn.RNNCell(4, 3)
        self.gain, self.out = nn.Parameter(torch.rand(3)), _mlp_of(3)

    def step(self, state, input):
        lower = self.lower(input, state[:, :4])
        return torch.cat([lower, self.gain * self.upper(lower, state[:, 4:])], dim=1)

    def readout(self, state):
        return self.out(state[:, 4:]).sigmoid()

    def states(self, x):
        state, out = x.new_zeros(len(x), N), []
        for t in range(x.shape[1]):
            state = self.step(state, x[:, t])
            out.append(state)
        return torch.stack(out, 1)

    def forward(self, x):
        return self.readout(self.states(x).flatten(0, 1)).reshape(*x.shape[:2], 1)


def _mlp_of(units):
    return nn.Sequential(nn.Linear(units, 20), nn.ReLU(), nn.Linear(20, 1))


@pytest.mark.filterwarnings("ignore:.*do not do the task")
def test_a_module_that_says_its_step_comes_in(tmp_path, monkeypatch):
    from solspace import (
        add_population,
        check_store,
        new_population,
        register_architecture,
        run_stage,
    )
    from solspace.networks import get_architecture, registry, stepped_architecture
    from solspace.stability.perturbing import with_noise
    from solspace.store import Store

    monkeypatch.setattr(registry, "_own", {})
    torch.manual_seed(0)
    models = {"a": Stepped(), "b": Stepped()}
    register_architecture(stepped_architecture("stepped", Stepped(), units=N))
    ds = import_networks(TASK, "stepped", models)
    x = torch.from_numpy(get_task(TASK).recorded_trials().input)
    add_population(str(tmp_path / "x.zarr"), ds)
    run_stage(str(tmp_path / "x.zarr"), "record")
    assert check_store(str(tmp_path / "x.zarr")) == []
    training = Store(str(tmp_path / "x.zarr")).populations()[0].open("training")
    with torch.no_grad():
        for i, model in enumerate(models.values()):
            np.testing.assert_allclose(training.activity[i], model.states(x), atol=CLOSE)
            np.testing.assert_allclose(training.output[i], model(x), atol=CLOSE)
    for given in (models["b"].state_dict(), network_weights(ds, 1)):
        again = import_networks(TASK, "stepped", {"b": given})
        np.testing.assert_array_equal(again.module_parameters[0], ds.module_parameters[1])
    for name in ("stepped", "gru_2layers"):
        with pytest.raises(SolspaceError, match=f"{name} networks are not trained here"):
            new_population(TASK, name, networks=1, hidden_size=N)
    # Noise on its weights is noise on the module's.
    weights = network_weights(ds, 0)
    fixed = get_architecture("stepped").fixed
    noisy = with_noise(weights, 1e-3, np.random.default_rng(0), fixed=fixed)
    changed = {name for name in weights if not np.array_equal(weights[name], noisy[name])}
    assert changed == {"module_parameters"}
    with pytest.raises(SolspaceError, match=r"other: not a module as .*'stepped' was made from"):
        import_networks(TASK, "stepped", {"other": nn.Linear(2, 1)})
    with pytest.raises(SolspaceError, match="a Linear has no step and no readout"):
        stepped_architecture("linear", nn.Linear(2, 1), units=2)
    with pytest.raises(SolspaceError, match="1 units for 2 inputs"):
        register_architecture(stepped_architecture("small", Stepped(), units=1))
        import_networks(TASK, "small", {"a": Stepped()})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_composed_architecture_takes_every_stage(tmp_path):
    from solspace import add_population, check_store, run_stage
    from solspace.store import Store

    torch.manual_seed(0)
    model = Net(nn.LSTM(2, N, num_layers=2), _mlp(nn.Tanh))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    name, path = "lstm_2layers_tanh_readout", str(tmp_path / "x.zarr")
    ds = import_networks(TASK, name, {"mine": model})
    add_population(path, ds)
    stages = ("record", "extrapolate", "attractors", "reduce", "responses", "label", "features")
    for stage in stages:
        run_stage(path, stage)
    assert check_store(path) == []
    population = Store(path).populations()[0]
    # One that was not trained may have no graph; nothing else may fail.
    done = {stage: population.status(stage)[0] for stage in stages}
    failed = {s: str(population.open()[f"message_{s}"].values[0]) for s, v in done.items() if v > 1}
    assert set(failed) <= {"reduce", "label"}, failed
    training = population.open("training")
    x = torch.from_numpy(get_task(TASK).recorded_trials().input)
    with torch.no_grad():
        np.testing.assert_allclose(training.output[0], model(x), atol=CLOSE)
        np.testing.assert_allclose(training.activity[0], model.states(x), atol=CLOSE)
    assert "cell_state_layer1" in training


def test_the_page_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    assert len(python_blocks("docs/import.md")) == 3  # all of them, with the commands between
    for language, block in re.findall(r"```(python|sh)\n(.*?)```", PAGE.read_text(), flags=re.S):
        if language == "python":
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*do not do the task")
                exec(block, names)
            continue
        for line in block.replace("\\\n", "").strip().splitlines():
            assert main(shlex.split(line)[1:]) == 0, line
    said = capsys.readouterr().out
    assert "outputs: at most" in said
    assert "1 networks after the 1 there were, 2 now" in said
