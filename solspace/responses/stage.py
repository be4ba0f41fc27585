"""Ask every network of a population what it answers to pulses, and name the machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.population.sound import done
from solspace.population.trained import RECURRENT
from solspace.population.variables import Variable, text_array, unfilled
from solspace.responses.machine import SETTLED, Edge, Machine, Pulses, State
from solspace.responses.words import MORE, MOST_OUTPUTS
from solspace.stages import Group, Layout, stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task
    from solspace.tasks.protocol import Notch, StimulusProtocol

__all__ = ["find_responses", "machine_of"]

STORED_STATES = 32
STORED_EDGES = 256
# One more number than a word tells outputs: that there are more.
_OUTPUTS = MOST_OUTPUTS + 1


def can_be_asked(task: Task) -> None:
    """Networks are asked as the task's protocol says."""
    from solspace.tasks.needs import check_needs

    check_needs(task, "responses")


def notch_of(task: Task, name: str | None) -> Notch:
    """A notch of a task by its name; the task's own where none is given."""
    from solspace.responses.testing import protocol_of

    protocol = protocol_of(task)
    return protocol.notch(name or protocol.usual)


def askable(protocol: StimulusProtocol, notch: Notch) -> list[Pulses]:
    """All pulses that can be given together, in order: what an edge can carry, silence first."""
    pulses = protocol.pulses
    given = pulses if notch.pulses is None else [pulses[i] for i in notch.pulses]
    found: dict[Pulses, None] = {(): None}
    waiting: list[tuple[Pulses, int]] = [
        ((), place) for place in {0} | {p.next_place for p in given}
    ]
    while waiting:
        before, place = waiting.pop(0)
        if len(before) >= notch.burst:
            continue
        waits = notch.waits.get(place, ()) if before or place == 0 else ()
        for wait, pulse in product(waits if before else (SETTLED, *waits), given):
            if pulse.place == place:
                after = (*before, (wait, pulse.symbol))
                found[after] = None
                waiting.append((after, pulse.next_place))
    return sorted(found)


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """What edges can carry, and how many states, edges and outputs are stored."""
    import xarray as xr

    from solspace.responses.naming import pulse_text

    notch = notch_of(task, options.get("notch"))
    assert task.protocol is not None
    texts = [
        pulse_text(one, task.input_symbols) or "silence" for one in askable(task.protocol, notch)
    ]
    sizes = {
        "response_state": STORED_STATES,
        "response_edge": STORED_EDGES,
        "response_stretch": notch.burst + 1,
        "response_output": _OUTPUTS,
    }
    return {"response": Layout(xr.Dataset(coords={"response_input": text_array(texts)}), sizes)}


def notes(task: Task, options: Mapping[str, Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    """How finely networks were asked."""
    return {"response_notch": notch_of(task, options.get("notch")).name}


RESPONSE_KEY = Variable(
    "response_key",
    ("network",),
    "U96",
    "what the network answers to pulses, as the smallest machine that says so (one too long is a "
    "digest, '#' and hexadecimals); equal where two networks answer alike; empty where not "
    "computed",
    coordinate=True,
    architectures=RECURRENT,
)
RESPONSE_DESCRIPTION = Variable(
    "response_description",
    ("network",),
    "U512",
    "what the machine of responses says, in words; empty where not computed",
    architectures=RECURRENT,
)


def _of(dim: str, name: str, dtype: str, meaning: str, *more: str, **others: Any) -> Variable:
    return Variable(
        name, ("network", f"response_{dim}", *more), dtype, meaning, group="response", **others
    )


RESPONSE = (
    Variable(
        "response_input",
        ("response_input",),
        "U96",
        "pulses that an edge carries, in order; after an @ the steps at which one comes, counted "
        "from the transient of the pulse before; without it the network had settled",
        group="response",
        coordinate=True,
    ),
    Variable(
        "n_response_states",
        ("network",),
        "int16",
        "number of states of the machine, the start among them; -1 not computed",
        group="response",
    ),
    Variable(
        "n_response_edges",
        ("network",),
        "int16",
        "number of edges; -1 not computed",
        group="response",
    ),
    _of(
        "state",
        "state_kind",
        "U32",
        "what the network settles to: start, point, cycle, unsettled, or several joined by ' or ' "
        "where they answer alike; empty past n_response_states",
    ),
    _of(
        "state",
        "state_output",
        "int8",
        "outputs that go on in the state, in order; 0 past the last",
        "response_output",
        fill=0,
    ),
    _of(
        "state",
        "state_repeated",
        "int8",
        "1 where these come again and again, 0 where one is held or none is put out; -1 past "
        "n_response_states",
    ),
    _of(
        "edge",
        "response_source",
        "int16",
        "state that is the source of the edge; -1 past n_response_edges",
    ),
    _of(
        "edge",
        "response_target",
        "int16",
        "state that is the target of the edge; -1 past n_response_edges",
    ),
    _of(
        "edge",
        "edge_pulses",
        "int16",
        "index into response_input of what the edge carries; -1 past n_response_edges",
    ),
    _of(
        "edge",
        "edge_output",
        "int8",
        "outputs in order in each stretch: before the first pulse (from the start only) and after "
        "each; 9 (of several outputs 99) is that there are more; 0 past the last",
        "response_stretch",
        "response_output",
        fill=0,
    ),
    _of(
        "edge",
        "edge_phases",
        "int8",
        "at how many of the eight phases of a cycle this is the answer; 8 where there are none; -1 "
        "past n_response_edges",
    ),
)


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what machines and their keys are at odds, a sentence each."""
    ds = parts["population"]
    for i, name in done(ds, "responses"):
        if not ds["response_key"].values[i]:
            yield f"network {name}: responses called done, but response_key is empty"
        try:
            machine_of(parts["response"], i)
        except SolspaceError as error:
            yield f"network {name}: {error}"


@stage(
    name="responses",
    reads=["population"],
    fills=[RESPONSE_KEY, RESPONSE_DESCRIPTION, *RESPONSE],
    after=["train"],
    groups={"response": Group("machines of what networks answer to pulses")},
    layout=layout,
    faults=faults_of,
    notes=notes,
    check=can_be_asked,
    by_default=True,
)
def find_responses(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    notch: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Ask each network what it answers to pulses, and name the smallest machine that says so.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        By default the dataset's own.
    notch : str, optional
        How finely it is asked, one of the task's ``protocol.notches``; by default the task's usual.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.

    Returns
    -------
    Dataset
        The population with ``response_key``, ``response_description`` and the variables of the
        response group (dims network, response_state, response_edge, ...), from which
        `solspace.responses.machine_of` makes the machine of one network. A network that settles
        to more states than are stored has ``status_responses`` 2, an empty key, and the reason in
        ``message_responses``.

    Raises
    ------
    SolspaceError
        For a task that does not say which pulses its networks can be given or has continuous
        outputs, and for an unknown notch.

    Examples
    --------
    >>> from solspace import import_networks
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> ds = find_responses(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> ds.response_key.item()
    'r1:interval_reproduction1:settled:/>1;0|set/>1'
    """
    from solspace.population import network_weights
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures
    from solspace.responses.exploring import explore_responses
    from solspace.responses.naming import describe_machine, response_key

    task = task_of(ds, task)
    can_be_asked(task)
    assert task.protocol is not None
    architecture = architecture_of(ds)
    asked = notch_of(task, notch)
    more = _stored_more(task)
    laid = layout(task, ds, {"notch": asked.name})["response"]
    inputs = {one: k for k, one in enumerate(askable(task.protocol, asked))}
    n = ds.sizes["network"]
    sizes = {"network": n, **laid.sizes}
    arrays = unfilled(RESPONSE, sizes)
    keys, words = np.full(n, "", dtype=object), np.full(n, "", dtype=object)

    def compute(i: int) -> None:
        machine = explore_responses(task, architecture, network_weights(ds, i), asked)
        if len(machine.states) > STORED_STATES or len(machine.edges) > STORED_EDGES:
            raise SolspaceError(
                f"a machine of {len(machine.states)} states and {len(machine.edges)} edges; at "
                f"most {STORED_STATES} and {STORED_EDGES} are stored"
            )
        _fill(
            {name: array[i] for name, array in arrays.items() if array.ndim > 1},
            machine,
            inputs,
            more,
        )
        arrays["n_response_states"][i] = len(machine.states)
        arrays["n_response_edges"][i] = len(machine.edges)
        keys[i] = response_key(machine, task, asked)
        words[i] = describe_machine(machine, task, asked)

    ended = each_network(ds, "responses", compute, after="train", progress=progress)
    dims = {v.name: v.dims for v in RESPONSE}
    out = (
        ds.drop_vars([*dims], errors="ignore")
        .assign(
            {
                name: (dims[name], text_array(a) if a.dtype == object else a)
                for name, a in arrays.items()
            }
            | {"response_description": ("network", text_array(words))}
            | ended
        )
        .assign_coords(laid.coordinates.coords)
        .assign_coords(response_key=("network", text_array(keys)))
    )
    out.attrs |= notes(task, {"notch": asked.name}, out.attrs)
    warn_of_failures(out, "responses")
    return out


def _fill(
    rows: dict[str, NDArray[Any]], machine: Machine, inputs: Mapping[Pulses, int], more: int
) -> None:
    """The machine of one network into the rows of the arrays."""
    for k, state in enumerate(machine.states):
        rows["state_kind"][k] = state.kind
        rows["state_output"][k, : len(state.output)] = state.output
        rows["state_repeated"][k] = state.repeated
    for k, edge in enumerate(machine.edges):
        rows["response_source"][k], rows["response_target"][k] = edge.source, edge.target
        rows["edge_pulses"][k], rows["edge_phases"][k] = inputs[edge.pulses], edge.phases
        first = 0 if edge.source == 0 else 1
        for stretch, word in enumerate(edge.words, start=first):
            told = [more if v == MORE else v for v in word]
            rows["edge_output"][k, stretch, : len(word)] = told


def _stored_more(task: Task) -> int:
    """What is stored for `MORE`; 9 may be what several outputs put out."""
    return 9 if len(task.outputs) == 1 else MORE


_NEEDS = tuple(v.name for v in RESPONSE)


def machine_of(ds: xr.Dataset, network: int | str) -> Machine:
    """The machine of responses of one network, from a population or its response group.

    Parameters
    ----------
    ds : Dataset
        As `solspace.find_responses` returns it, or the group ``response`` of a store.
    network : int or str
        Position along ``network``, or name.

    Returns
    -------
    Machine

    Raises
    ------
    SolspaceError
        Where there is no such network, it has no machine, or what is stored makes none.

    Examples
    --------
    >>> from solspace import import_networks
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    >>> ds = find_responses(import_networks("interval_reproduction", "vanilla", {"mine": mine}))
    >>> [state.kind for state in machine_of(ds, "mine").states]
    ['start', 'point']
    """
    from solspace.population.describe import task_of
    from solspace.responses.naming import read_pulses

    if missing := [name for name in _NEEDS if name not in ds.variables]:
        raise SolspaceError(f"the dataset has no {missing[0]!r}; {how_to_make('responses')}")
    i = _position(ds, network)
    row = ds[[*_NEEDS]].isel(network=i)
    states, edges = int(row["n_response_states"]), int(row["n_response_edges"])
    if states < 1:
        raise SolspaceError(f"network {network} has no machine; {how_to_make('responses')}")
    task = task_of(ds, None)
    symbols, more = task.input_symbols, _stored_more(task)
    inputs = [
        () if text == "silence" else read_pulses(text, symbols)
        for text in map(str, row["response_input"].values)
    ]
    kinds, outputs, repeated = (
        row[name].values[:states].tolist()
        for name in ("state_kind", "state_output", "state_repeated")
    )
    found = []
    columns = ("response_source", "response_target", "edge_pulses", "edge_phases")
    values = (row[name].values[:edges].tolist() for name in columns)
    for source, target, given, phases, words in zip(
        *values, row["edge_output"].values[:edges].tolist(), strict=True
    ):
        if not (0 <= source < states and 0 <= target < states and 0 <= given < len(inputs)):
            raise SolspaceError(f"an edge from state {source} to {target} with input {given}")
        first = 0 if source == 0 else 1
        told = words[first : len(inputs[given]) + 1]
        said = (tuple(MORE if v == more else v for v in word) for word in map(_without, told))
        found.append(Edge(source, target, inputs[given], tuple(said), phases))
    return Machine(
        tuple(
            State(str(kind), _without(out), bool(again))
            for kind, out, again in zip(kinds, outputs, repeated, strict=True)
        ),
        tuple(found),
    )


def _without(outputs: list[int]) -> tuple[int, ...]:
    """Without what fills up a row."""
    return tuple(v for v in outputs if v)


def _position(ds: xr.Dataset, network: int | str) -> int:
    if isinstance(network, str):
        names = ds["name"].values.astype(str).tolist()
        if network not in names:
            raise SolspaceError(f"no network is named {network!r}; names: {names[0]!r}, ...")
        return names.index(network)
    if not 0 <= network < ds.sizes["network"]:
        raise SolspaceError(f"network {network} of {ds.sizes['network']}; give a position from 0")
    return int(network)
