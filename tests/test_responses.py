"""What networks answer to pulses: words, machines, constructed and real networks, the stage."""

from __future__ import annotations

import dataclasses
import re
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from blocks import python_blocks
from hypothesis import given, settings
from hypothesis import strategies as st

import solspace
from solspace import SolspaceError, add_population, find_responses, import_networks, run_stage
from solspace.cli import main
from solspace.labels import label_network
from solspace.networks import parameter_shapes
from solspace.population import network_weights
from solspace.reduction import read_responses
from solspace.responses import (
    SETTLED,
    Edge,
    Machine,
    State,
    describe_machine,
    explore_responses,
    heard,
    machine_graph,
    machine_of,
    machine_recall,
    machine_specificity,
    predicted,
    response_key,
    response_sequences,
    smallest_machine,
)
from solspace.responses.naming import machine_text
from solspace.responses.words import MORE, going_on, until_settled
from solspace.store.check import check_store
from solspace.tasks import get_task
from solspace.verification import graph_recall, verification_sequences

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
GROUP = "interval_reproduction/vanilla"
SET = ((SETTLED, 1),)


def latch(*, up: bool = True) -> dict[str, np.ndarray]:
    """One unit that excites itself: silent until Set, then on for good (or until Set again)."""
    return {
        "weight_ih": np.array([[[0.0, 4.0 if up else 0.0]]]),
        "weight_hh": np.full((1, 1, 1), 2.0),
        "bias_ih": np.full((1, 1), -0.1),
        "bias_hh": np.zeros((1, 1)),
        "weight_out": np.ones((1, 1)),
        "bias_out": np.zeros(1),
    }


def shipped(population: str, *networks: int) -> xr.Dataset:
    return xr.open_zarr(STORE, group=population).isel(network=list(networks)).load()


@pytest.fixture(scope="module")
def several():
    """Five networks that answer in three ways."""
    return shipped(GROUP, 0, 4, 8, 12, 16)


# --------------------------------------------------------------------------- words


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=6), st.integers(0, 40))
def test_what_goes_on_does_not_depend_on_where_the_turn_begins(outputs, shift):
    symbols = np.repeat(np.array(outputs, np.int8), 4)
    assert going_on(symbols, 3) == going_on(np.roll(symbols, shift), 3)
    assert going_on(symbols, 3) == going_on(np.tile(symbols, 3), 3)


@given(
    st.lists(st.sampled_from([-1, 1]), max_size=3),
    st.sampled_from([((), False), ((1,), False), ((1,), True), ((-1, 1), True)]),
    st.integers(0, 3),
)
def test_what_goes_on_is_no_part_of_the_answer(answer, own, turns):
    output, repeated = own
    after = list(output) * turns if repeated else []
    outputs = [v for out in [*answer, *after] for v in [0, 0, 0, out, out, out]]
    symbols = np.array([*outputs, 0, 0, 0], np.int8)
    told = until_settled(symbols, 3, output, repeated)
    if not repeated:
        assert told == tuple(answer)
    else:
        # An answer that ends as what goes on cannot be told from it.
        assert told == tuple(answer)[: len(told)]
        assert set(answer[len(told) :]) <= set(output)


# --------------------------------------------------------------------------- machines


@st.composite
def found_in_networks(draw):
    """States and answers as an exploration leaves them, with answers that depend on the phase."""
    n = draw(st.integers(1, 5))
    own = [State("start")] + [State("point", draw(st.sampled_from([(), (1,)]))) for _ in range(n)]
    words, target = st.sampled_from([(), (1,)]), st.integers(1, n)

    def answers():
        return [
            (((SETTLED, symbol),), (draw(words),), draw(target), 4)
            for symbol in (1, 2)
            for _ in range(draw(st.integers(1, 2)))
        ]

    start = [((), (draw(words),), draw(target), 8)]
    ways = [start, *(answers() for _ in range(n))]
    return own, ways


def answers_of(own, ways, symbols):
    """All that can be seen on a sequence of pulses, each after long silence."""
    now = {((), 0)}
    for pulses in [(), *[((SETTLED, s),) for s in symbols]]:
        now = {
            ((*seen, words, own[to].output), to)
            for seen, at in now
            for given_, words, to, _ in ways[at]
            if given_ == pulses
        }
    return {seen for seen, _ in now}


def test_names_do_not_turn_on_how_many_states_were_found():
    """Five states of four kinds; told apart in more rounds than the four that are left."""
    one, other = ((SETTLED, 1),), ((SETTLED, 2),)
    ways = [
        [((), ((),), 3, 8)],
        [(one, ((),), 1, 4), (other, ((1,),), 1, 4)],
        [(one, ((),), 1, 4), (other, ((),), 2, 4)],
        [(one, ((1,),), 1, 4), (one, ((1,),), 2, 4), (other, ((),), 1, 4)],
        [(one, ((),), 1, 4), (other, ((),), 1, 4)],
    ]
    machine = smallest_machine([State("start"), *[State("point")] * 4], ways, None)
    back = [[(e.pulses, e.words, e.target, e.phases) for e in machine.leaving(i)]
            for i in range(len(machine.states))]  # fmt: skip
    assert smallest_machine(machine.states, back, None) == machine


@settings(max_examples=30)
@given(found_in_networks(), st.permutations(range(1, 6)), st.data())
def test_a_machine_answers_as_what_it_was_made_of_and_is_named_without_numbers(found, order, data):
    own, ways = found
    machine = smallest_machine(own, ways, None)
    back = [[(e.pulses, e.words, e.target, e.phases) for e in machine.leaving(i)]
            for i in range(len(machine.states))]  # fmt: skip
    for _ in range(5):
        symbols = data.draw(st.lists(st.sampled_from([1, 2]), max_size=4))
        assert answers_of(own, ways, symbols) == answers_of(machine.states, back, symbols)
    again = smallest_machine(machine.states, back, None)
    assert machine_text(again, ("", "a", "b")) == machine_text(machine, ("", "a", "b"))
    # The same states in another order.
    place = [0, *[p for p in order if p < len(own)]]
    where = {old: new for new, old in enumerate(place)}
    moved = [[(p, w, where[to], n) for p, w, to, n in ways[old]] for old in place]
    renamed = smallest_machine([own[old] for old in place], moved, None)
    assert machine_text(renamed, ("", "a", "b")) == machine_text(machine, ("", "a", "b"))


@settings(max_examples=40)
@given(found_in_networks(), st.integers(1, 3))
def test_a_machine_of_bounded_sequences_ends_with_them(found, depth):
    own, ways = found
    machine = smallest_machine(own, ways, depth)
    longest = {0: 0}
    for edge in machine.edges:  # sources come in order, and lead on
        assert edge.target > edge.source
        steps = longest[edge.source] + len(edge.pulses)
        longest[edge.target] = max(longest.get(edge.target, 0), steps)
    assert max(longest.values()) == depth


def test_predictions_tell_words_and_what_goes_on():
    again = Machine(
        (State("start"), State("cycle", (1, -1), True)),
        (Edge(0, 1, (), ((),)), Edge(1, 1, SET, ((1, 1, 1, MORE),))),
    )
    seen = [
        (((-1, 1, -1), (1, 1, 1, 1, -1)), SET),
        (((1, 1), (1, 1, 1)), SET),  # not in turn
        (((), (1, 1)), SET),  # too few
    ]
    assert predicted(again, seen).tolist() == [True, False, False]
    hurried = Machine(
        (State("start"), State("point")),
        (
            Edge(0, 1, (), ((),)),
            Edge(1, 1, SET, ((1,),)),
            Edge(1, 1, ((SETTLED, 1), (20, 1)), ((), (1,))),
            Edge(1, 1, ((SETTLED, 1), (300, 1)), ((1,), ())),
        ),
    )
    late, early = ((), (1,), ()), ((), (), (1,))
    for wait, words in ((28, early), (250, late)):
        pulses = ((SETTLED, 1), (wait, 1))
        assert predicted(hurried, [(early, pulses), (late, pulses)]).tolist() == [
            words == early,
            words == late,
        ]


# --------------------------------------------------------------------------- networks


def key_of(weights, notch=None, architecture="vanilla", task="interval_reproduction"):
    more = {"notch": notch} if notch else {}
    return label_network(task, architecture, weights, "response_key", **more)


def test_constructed_networks_have_the_machines_that_they_were_made_for():
    where = "r1:interval_reproduction1"
    assert key_of(latch()) == f"{where}:settled:/>1;0|set/>2;1|set/>2"
    assert key_of(latch(), "settled1") == f"{where}:settled1:/>1;0|set/>2;1|"
    assert key_of(latch(), "answers") == f"{where}:answers:/>1;0|set/1>1"
    assert key_of(latch(up=False)) == f"{where}:settled:/>1;0|set/>1"


def test_a_silence_that_goes_round_answers_by_phase():
    ds = shipped("interval_discrimination/vanilla", 56)
    task = get_task("interval_discrimination")
    weights = network_weights(ds, 0)
    machine = explore_responses(task, "vanilla", weights, task.protocol.notch("settled"))
    answers = [edge for edge in machine.edges if edge.pulses == ((SETTLED, 2),)]
    assert {edge.words for edge in answers} == {((-1,),), ((1,),)}
    assert all(3 <= edge.phases <= 5 for edge in answers)
    assert {state.kind for state in machine.states[1:]} == {"cycle"}


def test_labels_do_not_depend_on_the_order_of_units_and_tell_networks_apart(several):
    rng = np.random.default_rng(0)
    keys = []
    for i in range(several.sizes["network"]):
        weights = network_weights(several, i)
        order = rng.permutation(weights["weight_out"].shape[-1])
        moved = {
            "weight_ih": weights["weight_ih"][:, order],
            "weight_hh": weights["weight_hh"][:, order][:, :, order],
            "bias_ih": weights["bias_ih"][:, order],
            "bias_hh": weights["bias_hh"][:, order],
            "weight_out": weights["weight_out"][:, order],
            "bias_out": weights["bias_out"],
        }
        keys.append(key_of(weights, "trained"))
        assert key_of(moved, "trained") == keys[-1]
    assert 1 < len(set(keys)) < len(keys)


def test_machines_predict_their_own_network_and_forbid_others(several):
    task = get_task("interval_reproduction")
    every = [network_weights(several, i) for i in range(several.sizes["network"])]
    for notch in ("settled", "trained"):
        asked = task.protocol.notch(notch)
        sequences = response_sequences(task, notch, 30)
        responses = [read_responses(task, "vanilla", w, sequences) for w in every]
        own = [heard(task, notch, one) for one in responses]
        machines = [explore_responses(task, "vanilla", w, asked) for w in every]
        keys = [response_key(m, task, asked) for m in machines]
        for i, machine in enumerate(machines):
            assert machine_recall(machine, own[i]) >= 0.9
            others = [own[j] for j, key in enumerate(keys) if key != keys[i]]
            assert machine_specificity(machine, own[i], others) >= 0.9
    general = read_responses(task, "vanilla", every[0], verification_sequences(task, 100))
    assert graph_recall(machine_graph(machines[0]), general) >= 0.9


def test_two_keys_are_never_worded_alike():
    task = get_task("delayed_discrimination")
    asked = task.protocol.notch("settled")
    ds = shipped("delayed_discrimination/vanilla", *range(0, 20, 4))
    told = {}
    for i in range(ds.sizes["network"]):
        machine = explore_responses(task, "vanilla", network_weights(ds, i), asked)
        words = describe_machine(machine, task, asked)
        assert len(words) <= 512
        assert told.setdefault(words, response_key(machine, task, asked)) == response_key(
            machine, task, asked
        )
    assert len(told) == len(set(told.values())) > 2


def test_a_network_with_too_many_states_says_so(monkeypatch):
    monkeypatch.setattr("solspace.responses.exploring.MOST_STATES", 1)
    with pytest.raises(SolspaceError, match=r"more than 1 states.*coarser notch"):
        key_of(latch())


def test_a_change_of_a_protocol_is_a_change_of_its_version():
    """Keys of one version have to mean the same: give a changed protocol another version."""
    known = {
        ("interval_reproduction", 1): "74e0df9f8c81d456",
        ("interval_discrimination", 1): "366d3dbeafd0f1a7",
        ("delayed_discrimination", 1): "ba10c127e78c6513",
    }
    for (name, version), digest in known.items():
        protocol = get_task(name).protocol
        asked = (
            protocol.before.tolist(),
            protocol.pulses,
            protocol.shortest,
            [dataclasses.replace(n, asks="", within={}) for n in protocol.notches],
        )
        now = blake2b(repr(asked).encode(), digest_size=8).hexdigest()
        assert (protocol.version, now) == (version, digest), name


# --------------------------------------------------------------------------- the stage


def test_the_dataset_gives_back_the_machines_and_the_drawing(several):
    task = get_task("interval_reproduction")
    for notch in ("settled", "trained"):
        ds = find_responses(several, notch=notch)
        assert ds.attrs["response_notch"] == notch
        for i in range(ds.sizes["network"]):
            asked = task.protocol.notch(notch)
            machine = explore_responses(task, "vanilla", network_weights(ds, i), asked)
            assert machine_of(ds, i) == machine
            assert ds.response_key.values[i] == response_key(machine, task, asked)
            assert ds.response_description.values[i] == describe_machine(machine, task, asked)
        assert type(solspace.plots.plot_machine(ds, str(ds.name.values[0]))).__name__ == "Overlay"


def test_a_store_gives_what_the_dataset_gives_and_faults_are_found(tmp_path, several, capsys):
    path = str(tmp_path / "some.zarr")
    wanted = find_responses(several)
    weights = {str(name): network_weights(several, i) for i, name in enumerate(several.name.values)}
    add_population(path, import_networks("interval_reproduction", "vanilla", weights))
    run_stage(path, "responses")
    stored = xr.open_zarr(path, group=GROUP).load()
    assert stored.response_key.values.tolist() == wanted.response_key.values.tolist()
    group = xr.open_zarr(path, group=f"{GROUP}/response").load()
    for i in range(group.sizes["network"]):
        assert machine_of(group, i) == machine_of(wanted, i)
    assert check_store(path) == []
    assert main(["responses", path, "--notch", "answers", "--redo", "--quiet"]) == 0
    stored = xr.open_zarr(path, group=GROUP).load()
    assert stored.attrs["response_notch"] == "answers"
    assert stored.response_key.values[0].startswith("r1:interval_reproduction1:answers:")
    handle = zarr.open_group(path)[f"{GROUP}/response"]
    handle["response_target"][0, 0] = 30
    assert any("edge from state 0 to 30" in fault for fault in check_store(path))


def test_lazily_as_in_memory(several):
    lazy = find_responses(several.chunk(network=2))
    np.testing.assert_array_equal(
        lazy.response_key.compute().values, find_responses(several).response_key.values
    )


def test_what_cannot_be_asked_is_said(several):
    with pytest.raises(SolspaceError, match="unknown notch 'fine'; notches, coarse to fine: ans"):
        find_responses(several, notch="fine")
    with pytest.raises(SolspaceError, match="solspace responses"):
        machine_of(several, 0)
    ds = find_responses(several)
    with pytest.raises(SolspaceError, match="no network is named 'none'"):
        machine_of(ds, "none")
    silent = dataclasses.replace(get_task("interval_reproduction"), protocol=None)
    with pytest.raises(SolspaceError, match="give it a `protocol`"):
        find_responses(several, task=silent)


def test_shapes_of_other_architectures():
    rng = np.random.default_rng(3)
    shapes = parameter_shapes("gru", 6, 2, 1)
    weights = {name: rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    assert key_of(weights, architecture="gru").startswith("r1:interval_reproduction1:settled:/")


def test_the_page_runs_as_written(tmp_path, monkeypatch, capsys):
    """docs/responses.md from top to bottom, on the shipped store."""
    page = (STORE.parents[1] / "docs" / "responses.md").read_text()
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / STORE.name).symlink_to(STORE)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in python_blocks("docs/responses.md"):
        exec(compile(block, "docs/responses.md", "exec"), names)
    shown = re.findall(r"^    (Pulses, .*)$", page, flags=re.M)
    assert len(shown) == 2
    assert capsys.readouterr().out.splitlines()[:2] == shown
    assert (tmp_path / "machine.png").stat().st_size > 1000
