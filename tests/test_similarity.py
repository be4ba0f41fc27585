"""How alike networks are: what the peers' packages say, and what each measure promises."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st

import solspace
from solspace import SolspaceError
from solspace.similarity import (
    MEASURES,
    degeneracy,
    embed,
    fit_havok,
    match_units,
    pair,
    pairwise,
    prepare_weights,
    separation,
)
from solspace.similarity.dynamics import joint_distance, responses_to_inputs
from solspace.similarity.rdm import COMPARISONS, dissimilarities
from solspace.similarity.rotating import best_angles

STORE = Path(__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
VANILLA = "interval_reproduction/vanilla"

# Near 0 an arc cosine keeps half of the digits of its argument: 1e-16 in the cosine is 1e-8 in the
# angle, of both packages.
NEAR = 1e-6


def oracle(name: str) -> dict[str, np.ndarray]:
    path = Path(__file__).resolve().parents[2] / "shared" / "oracles" / f"{name}.npz"
    if not path.exists():
        pytest.skip("needs the folder shared/oracles beside the checkout")
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def activity() -> dict[str, np.ndarray]:
    arrays = oracle("activity")
    return {str(name): arrays[f"act_{name}"] for name in arrays["names"]}


# ------------------------------------------------------------------------------- peers' packages


@pytest.mark.parametrize(
    ("measure", "options", "name"),
    [
        ("procrustes", {}, "linear_a1_angular"),
        ("procrustes", {"alpha": 0.5}, "linear_a0.5_angular"),
        ("cca", {}, "linear_a0_angular"),
        ("permutation", {}, "perm_angular"),
    ],
)
def test_netrep(activity, measure, options, name):
    found = pairwise(activity, measure, **options)
    theirs = oracle("netrep_rsa")[f"netrep_{name}"]
    np.testing.assert_allclose(found, theirs, atol=NEAR)
    # Ours are symmetric and 0 on the diagonal to the bit.
    assert (np.diag(found) == 0).all() and (found.values == found.values.T).all()


def test_netrep_euclidean(activity):
    found = pairwise(activity, "procrustes_euclidean").values
    theirs = oracle("netrep_rsa")["netrep_linear_a1_euclidean"]
    # Of numbers up to 460; near 0 a difference of squares keeps half of the digits.
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=2e-5)


def test_netrep_cka(activity):
    tenth = {name: x[:, ::10] for name, x in activity.items()}
    theirs = oracle("netrep_rsa")
    found = pairwise(tenth, "cka_angular")
    np.testing.assert_allclose(found, theirs["netrep_lincka_arccos_every10th"], atol=NEAR)
    whole = pair(activity["base"], activity["other_seed"], "cka")
    assert np.arccos(whole) == pytest.approx(theirs["netrep_lincka_full_base_other"], abs=NEAR)


def test_rsatoolbox(activity):
    theirs = oracle("netrep_rsa")
    last = {name: x[:, -1] for name, x in activity.items()}
    for rdm in ("euclidean", "correlation"):
        for i, x in enumerate(last.values()):
            np.testing.assert_allclose(
                dissimilarities(x, rdm), theirs[f"rsa_rdm_{rdm}"][i], atol=1e-12
            )
        for compare in COMPARISONS:
            if compare == "bures_metric":  # theirs is the square
                found = pairwise(last, "rsa_bures", rdm=rdm) ** 2
            else:
                found = pairwise(last, "rsa", rdm=rdm, compare=compare)
            np.testing.assert_allclose(found, theirs[f"rsa_{rdm}_{compare}"], atol=NEAR)


def test_dsa_metric(activity):
    theirs = oracle("dsa")
    found = pairwise(activity, "dsa")
    np.testing.assert_allclose(found**2, theirs["dsa_wasserstein"], atol=NEAR)
    squared = pair(activity["base"], activity["weak_g"], "dsa_squared")
    assert squared == pytest.approx(theirs["dsa_wasserstein"][0, 6], abs=NEAR)


def test_angles_are_below_those_of_dsa_metric():
    """Theirs end above the minimum: 0.029 for a network and its rotated self."""
    theirs = oracle("dsa_angular")
    maps = theirs["havok_A_v"]
    for (i, j), angle in zip(theirs["pairs"][2::3], theirs["angular"][2::3], strict=True):
        found = best_angles(maps[i], maps[j][None], iterations=600, restarts=2, seed=0)[0][0]
        assert found < angle
        if (i, j) == (0, 1):
            assert found < 1e-5


def test_inputs_are_aligned_the_right_way():
    case = oracle("inputdsa_controllability_case")
    q = case["Q"]
    s = responses_to_inputs(case["A"], case["B"])
    qs = responses_to_inputs(q @ case["A"] @ q.T, q @ case["B"])
    s2 = responses_to_inputs(case["A2"], case["B2"])
    for one, other, name in ((s, qs, "S_QS"), (s, s2, "S_S2"), (qs, s2, "QS_S2")):
        found = [joint_distance(one, other, angular=angular) for angular in (False, True)]
        np.testing.assert_allclose(found, case[f"correct_{name}"], rtol=1e-9, atol=NEAR)


def test_inputs_of_rotated_networks(activity):
    u = oracle("activity")["u"]
    some = {name: activity[name] for name in ("base", "rotated", "other_seed")}
    found = pairwise(some, "dsa_inputs", inputs=u, rank=10).values
    assert found[0, 1] < 1e-4 < 0.01 < found[0, 2]


# ------------------------------------------------------------------------------------ properties

ACTIVITY = [name for name, m in MEASURES.items() if m.of in ("samples", "conditions")]
DYNAMICS = [name for name, m in MEASURES.items() if m.of in ("trajectories", "driven")]
# Small enough that every measure has what it needs of 6 trials of 16 steps of 4 units.
SMALL = {name: {"delays": 3, "rank": 5} for name in DYNAMICS}
SMALL["dsa_angular"] |= {"iterations": 40, "restarts": 0}
INPUTS = np.random.default_rng(7).normal(size=(6, 16, 2))
RTOL = 2e-6  # see NEAR


def networks(seed: int, units: tuple[int, ...] = (4, 4, 4)) -> list[np.ndarray]:
    """Networks of random weights that INPUTS drive."""
    rng = np.random.default_rng(seed)
    out = []
    for n in units:
        w, b = rng.normal(size=(n, n)) * 0.9 / np.sqrt(n), rng.normal(size=(n, 2))
        x, h = np.zeros((6, 16, n)), np.zeros((6, n))
        for t in range(16):
            h = np.tanh(h @ w.T + INPUTS[:, t] @ b.T)
            x[:, t] = h
        out.append(x)
    return out


def values(measure: str, nets: list[np.ndarray], other: list[np.ndarray] | None = None):
    return pairwise(
        nets, measure, other=other, inputs=INPUTS, workers=1, **SMALL.get(measure, {})
    ).values


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("measure", [*ACTIVITY, *DYNAMICS])
def test_itself_both_ways_and_triangle(measure, seed):
    record = MEASURES[measure]
    x = networks(seed, (4, 4, 3, 4)) if record.of == "samples" else networks(seed, (4,) * 4)
    found = values(measure, x)
    itself = 0.0 if record.direction == "distance" else 1.0
    np.testing.assert_allclose(np.diag(found), itself, atol=1e-12)
    np.testing.assert_allclose(found, values(measure, x, x), atol=1e-9)
    np.testing.assert_allclose(found, values(measure, x, x).T, atol=1e-9)
    if record.direction == "distance":
        assert (found >= 0).all()
    if record.metric:
        detour = (found[:, :, None] + found[None]).min(axis=1)
        assert (found <= detour + RTOL).all()


def changed(x: np.ndarray, change: str, rng: np.random.Generator) -> np.ndarray:
    n = x.shape[-1]
    return {
        "rotation": lambda: x @ np.linalg.qr(rng.normal(size=(n, n)))[0],
        "permutation": lambda: x[..., rng.permutation(n)],
        "scale": lambda: x * rng.uniform(0.1, 10),
        "shift": lambda: x + rng.normal(size=n),
        "linear": lambda: x @ (np.eye(n) + 0.4 * np.linalg.qr(rng.normal(size=(n, n)))[0]),
    }[change]()


@settings(max_examples=4)
@given(st.integers(0, 2**32 - 1))
@example(51)  # signs of its principal directions changed with a rotation of units
@pytest.mark.parametrize("measure", [*ACTIVITY, *DYNAMICS])
def test_what_a_measure_does_not_see(measure, seed):
    rng = np.random.default_rng(seed)
    x, y = networks(seed)[:2]
    for change in MEASURES[measure].invariances:
        one, other = (
            values(measure, [x], [y])[0, 0],
            values(measure, [x], [changed(y, change, rng)]),
        )
        # Of a search too: signs of models follow from the activity, so it begins at the same place.
        np.testing.assert_allclose(other[0, 0], one, atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
@settings(max_examples=10)
def test_weights_up_to_the_order_of_units(seed, n):
    rng = np.random.default_rng(seed)
    a, b = (
        {"weight_hh": rng.normal(size=(2, n, n)), "weight_ih": rng.normal(size=(2, n, 1))}
        for _ in range(2)
    )
    order = rng.permutation(n)
    shuffled = {
        "weight_hh": a["weight_hh"][:, order][:, :, order], "weight_ih": a["weight_ih"][:, order]
    }  # fmt: skip
    one, two, three = (prepare_weights(w) for w in (a, b, shuffled))
    assert match_units(one, three)[0] == pytest.approx(0, abs=1e-9)
    there, order = match_units(one, two)
    back = match_units(two, one)[0]
    assert there == pytest.approx(back, rel=1e-12)
    # The distance is that of the order that it says, and no larger than that of the order given.
    moved = two.between[:, order][:, :, order], two.of_unit[order]
    told = np.sum((one.between - moved[0]) ** 2) + np.sum((one.of_unit - moved[1]) ** 2)
    assert there**2 == pytest.approx(told)
    asis = np.sum((one.between - two.between) ** 2) + np.sum((one.of_unit - two.of_unit) ** 2)
    assert there**2 <= asis + 1e-9


def test_best_order_of_few_units():
    """Of five units all orders can be tried."""
    from itertools import permutations

    rng = np.random.default_rng(3)
    for _ in range(3):
        a, b = (prepare_weights({"weight_hh": rng.normal(size=(5, 5))}) for _ in range(2))
        least = min(
            np.linalg.norm(a.between - b.between[:, o][:, :, o])
            for o in map(list, permutations(range(5)))
        )
        assert match_units(a, b)[0] == pytest.approx(least)


# -------------------------------------------------------------------------------------- datasets


@pytest.fixture(scope="module")
def population() -> xr.Dataset:
    ds = xr.open_zarr(STORE, group=VANILLA).isel(network=[0, 1, 2, 3, 399]).load()
    assert len(set(ds.hidden_size.values)) > 1  # some have padding
    return ds


@pytest.fixture(scope="module")
def recorded(population) -> xr.Dataset:
    return solspace.record(population)


def test_datasets_are_read_without_padding(recorded):
    found = pairwise(recorded, "procrustes")
    arrays = {
        str(i): recorded.activity.values[i, ..., : int(n)]
        for i, n in enumerate(recorded.hidden_size.values)
    }
    np.testing.assert_allclose(found, pairwise(arrays, "procrustes"), atol=1e-12)
    assert found.dims == ("network", "network_other")
    assert found.attrs["direction"] == "distance" and found.attrs["metric"] == 1
    assert (found.solution_key.values == found.solution_key_other.values).all()
    assert found.network.values.tolist() == recorded.network.values.tolist()


@pytest.mark.parametrize("measure", ["procrustes", "rsa", "dsa"])
def test_blocks_threads_and_lazy_data_change_nothing(recorded, measure):
    whole = pairwise(recorded, measure, workers=1)
    lazy = recorded.chunk(network=2)
    parts = pairwise(lazy, measure, block=2, workers=3)
    np.testing.assert_allclose(whole, parts, atol=1e-12)
    sides = pairwise(
        lazy.isel(network=slice(3)), measure, other=recorded.isel(network=[3, 4]), block=2
    )
    np.testing.assert_allclose(sides, whole[:3, 3:], atol=1e-9)


def test_result_is_written(recorded, tmp_path):
    found = pairwise(recorded, "dsa", rank=10, center=True)
    found.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")
    again = xr.open_dataarray(tmp_path / "found.nc", engine="h5netcdf")
    xr.testing.assert_equal(again.load(), found)


def test_inputs_of_a_dataset(recorded):
    found = pairwise(recorded, "dsa_inputs", rank=8).values
    assert np.isfinite(found).all() and found[0, 1] > 0


def test_weights_of_a_population(population):
    found = pairwise(population, "weights", restarts=1)
    assert (np.diag(found) == 0).all() and found.attrs["bound"] == "upper"
    first = solspace.network_weights(population, 0)
    order = np.random.default_rng(0).permutation(first["weight_hh"].shape[-1])
    first["weight_hh"] = first["weight_hh"][:, order][:, :, order]
    first |= {n: first[n][:, order] for n in ("weight_ih", "bias_ih", "bias_hh", "weight_out")}
    same = solspace.import_networks("interval_reproduction", "vanilla", {"shuffled": first})
    apart = pairwise(population.isel(network=[0]), "weights", other=same).item()
    assert apart < 1e-6 * np.linalg.norm(first["weight_hh"])


def test_gaps_are_left_out_and_said(recorded):
    gap = recorded.copy(deep=True)
    gap.activity[1, :, 140:] = np.nan
    with pytest.warns(UserWarning, match="310 of 4650 samples") as warned:
        found = pairwise(gap, "procrustes")
    assert warned[0].filename == __file__  # where the user called
    np.testing.assert_allclose(
        found, pairwise(recorded.isel(time=slice(140)), "procrustes"), atol=1e-12
    )
    assert found.attrs["samples_left_out"] == 310
    with pytest.raises(SolspaceError, match="cannot leave out"):
        pairwise(gap, "dsa")
    gap.activity[2] = np.nan
    with pytest.warns(UserWarning, match="1 networks without activity"):
        found = pairwise(gap, "cka")
    assert np.isnan(found[2]).all() and np.isfinite(found[0, 3])


def test_recordings_of_the_same_trials():
    rng = np.random.default_rng(0)
    rates = rng.uniform(0, 50, (6, 20, 5))
    rotated = rates @ np.linalg.qr(rng.normal(size=(5, 5)))[0] + 200
    sides = {"a": [0, 1] * 3, "b": [0, 1] * 3, "c": [1, 0] * 3}
    several = [
        solspace.recording_from_arrays(x, {"side": sides[name]}, bin=10, name=name)
        for name, x in zip("abc", (rates, rotated, rates[..., :4]), strict=True)
    ]
    found = pairwise(solspace.join_recordings(several[:2]))
    assert found[0, 1] < NEAR and found.name_other.values.tolist() == ["a", "b"]
    for call in (
        lambda: pairwise(several[0], other=several[2]),
        lambda: pairwise(solspace.join_recordings(several)),
    ):
        with pytest.raises(SolspaceError, match="trials differ in 'side'"):
            call()


# --------------------------------------------------------------------------------------- the map


def of_places(places: np.ndarray) -> xr.DataArray:
    between = np.linalg.norm(places[:, None] - places[None], axis=-1)
    return xr.DataArray(between, dims=("network", "network_other"))


def test_map_of_a_plane_loses_nothing():
    places = np.random.default_rng(0).normal(size=(30, 2))
    found = embed(of_places(places))
    assert found.stress.item() < 1e-6 and found.trustworthiness.item() == pytest.approx(1)
    np.testing.assert_allclose(of_places(found.position.values), of_places(places), atol=1e-6)


def test_how_faithful_a_map_is():
    from sklearn.manifold import trustworthiness

    distances = of_places(np.random.default_rng(1).normal(size=(40, 6)))
    found = embed(distances)
    theirs = trustworthiness(
        distances.values, found.position.values, n_neighbors=12, metric="precomputed"
    )
    assert found.trustworthiness.item() == pytest.approx(theirs)
    # Of the classical solution, from which it starts, stress can only go down.
    start = embed(distances, iterations=0)
    assert found.stress.item() < start.stress.item()


def test_map_of_what_is_no_distance():
    x = [np.random.default_rng(i).normal(size=(9, 3)) for i in range(7)]
    for call, message in (
        (lambda: embed(pairwise(x, "cka")), "give a distance, such as pairwise"),
        (lambda: embed(pairwise(x[:5])), "a map needs 6 or more"),
        (lambda: embed(pairwise(x, other=x[:6])), "networks of one dataset"),
    ):
        with pytest.raises(SolspaceError, match=message):
            call()
    gone = pairwise(x)
    gone[3] = gone[:, 3] = np.nan
    found = embed(gone)
    assert found.sizes["network"] == 6 and found.attrs["left_out"] == 1


# ------------------------------------------------------------------------------------- bad input


def test_bad_input_is_one_line(recorded, population):
    x = np.random.default_rng(0).normal(size=(5, 12, 3))
    other = recorded.isel(trial=slice(None, None, -1))
    elsewhere = recorded.assign_coords(task="delayed_discrimination")
    for call, message in (
        (lambda: pairwise([x, x[:4]]), "record both on the same trials"),
        (lambda: pairwise(recorded, other=other), "trials differ in"),
        (lambda: pairwise(recorded, other=elsewhere), "do other trials"),
        (lambda: pairwise(recorded, other=recorded.isel(time=slice(9))), "31 trials of 9 steps"),
        (lambda: pairwise({"dead": np.ones((5, 12, 3)), "x": x}), "'dead': .* does not vary"),
        (lambda: pairwise({"dead": np.ones((5, 12, 3))}, "rsa"), "'dead': .* does not vary"),
        (lambda: pairwise([x], "cosine"), "give one of procrustes, "),
        (lambda: pairwise([x], "cka", alpha=0), "no option of measure 'cka'"),
        (lambda: pairwise([x], "procrustes", alpha=2), "give 1 .* or a number between"),
        (lambda: pairwise([x], "rsa", compare="bures_metric"), "give measure='rsa_bures'"),
        (lambda: pairwise([x], "dsa", rank=99), "rank=99 of 10 delays of 3 units"),
        (lambda: pairwise([x[0]], "dsa"), r"need activity \(trial, time, unit\)"),
        (lambda: pairwise([x], "dsa_inputs", delays=2, rank=2), "give inputs="),
        (lambda: pairwise(x), "give a list of one array a network"),
        (lambda: pairwise([]), "no networks to compare"),
        (lambda: pairwise(population), "give what solspace.record"),
        (lambda: pairwise(recorded, "weights"), "give a population of networks"),
        (lambda: pairwise([x], block=0), "block=0; give 1 or more"),
        (lambda: fit_havok(np.ones((2, 9, 3)), delays=2, rank=2), "directions"),
    ):
        with pytest.raises(SolspaceError) as error:
            call()
        assert re.search(message, str(error.value)) and "\n" not in str(error.value)


# ------------------------------------------------------------------------------ labels and levels


def test_how_well_a_measure_tells_a_label():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 30, 4))
    labels = np.array(["a", "b", "a", "b", "a", "b", "a", ""])
    nets = [(one if n != "b" else other) + rng.normal(size=one.shape) for n in labels]
    pairs = pairwise(nets)
    found = separation(pairs, labels, permutations=200)
    assert found.attrs["left_out"] == 1 and found.attrs["networks"] == 7
    values, known = pairs.values[:7, :7], labels[:7]
    upper = np.triu_indices(7, 1)
    same = (known[:, None] == known)[upper]
    assert found.within == pytest.approx(values[upper][same].mean())
    assert found.between == pytest.approx(values[upper][~same].mean())
    assert found.auc == pytest.approx(roc_auc_score(same, -values[upper]))
    nearest = np.argmin(values + np.diag([np.inf] * 7), axis=1)
    assert found.neighbour_share == pytest.approx((known == known[nearest]).mean())
    # A similarity is told the other way round, and two datasets are told like one.
    alike = separation(pairwise(nets, "cka"), labels)
    assert alike.within > alike.between and alike.auc > 0.5
    assert 0.2 < alike.chance < 0.7 and alike.chance_low <= alike.chance_high
    named = pairs[:4, 4:7].assign_coords(
        kind=("network", known[:4]), kind_other=("network_other", known[4:])
    )
    named.attrs["itself"] = 0
    assert separation(named, "kind").within == pytest.approx(
        values[:4, 4:][known[:4, None] == known[4:]].mean()
    )
    for by, message in (
        (["a"] * 8, "of 1 classes"),
        (np.arange(8), "no two networks are of one class"),
        ("solution", "no label 'solution'"),
    ):
        with pytest.raises(SolspaceError, match=message):
            separation(pairs, by)


def test_networks_a_measure_cannot_take_are_left_out_if_asked():
    x = np.random.default_rng(0).normal(size=(3, 5, 12, 3))
    nets = {"dead": np.ones((5, 12, 3)), "x": x[0], "y": x[1], "z": x[2]}
    with pytest.warns(UserWarning, match="1 networks that 'procrustes' cannot take .*: dead"):
        found = pairwise(nets, unfit="leave_out")
    assert found.attrs["networks_left_out"] == 1 and np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:, 1:], pairwise(list(x)))
    with pytest.raises(SolspaceError, match="does not vary"):
        pairwise([nets["dead"]] * 2, unfit="leave_out")


def test_degeneracy_at_three_levels(population, recorded):
    far = solspace.extrapolate(population)
    found = degeneracy(population, training=recorded, extrapolation=far, networks=4, rank=10,
                       bootstrap=50)  # fmt: skip
    assert found.level.values.tolist() == ["behaviour", "dynamics", "weights"]
    assert (found.distance_low <= found.distance_high).all() and (found.distance > 0).all()
    assert found.networks.values.tolist() == [5, 5, 4] and found.pairs.values.tolist() == [
        10,
        10,
        6,
    ]
    upper = np.triu_indices(5, 1)
    outside = far.output.where((far.t_in < 20) | (far.t_in > 50), drop=True).values
    apart = [np.sqrt(((outside[i] - outside[j]) ** 2).mean()) for i, j in zip(*upper, strict=True)]
    assert found.distance.sel(level="behaviour") == pytest.approx(np.mean(apart), rel=1e-6)
    lost = ((far.output - far.target) ** 2).where((far.t_in < 20) | (far.t_in > 50), drop=True)
    spread = lost.mean(["trial", "time", "output_channel"]).std(ddof=1)
    assert found.loss_spread == pytest.approx(spread.item(), rel=1e-4)
    assert found.loss_spread_low < found.loss_spread_high
    dsa = pairwise(recorded, "dsa", rank=10).values[upper].mean()
    assert found.distance.sel(level="dynamics") == pytest.approx(dsa)
    # Of one network five times nothing is apart.
    same = degeneracy(extrapolation=far.isel(network=[1] * 5), bootstrap=5)
    assert same.distance.item() < 1e-6
    for call, message in (
        (lambda: degeneracy(), "nothing to measure"),
        (lambda: degeneracy(training=recorded, dynamics="cka"), "is a similarity"),
        (lambda: degeneracy(population, rank=3), "is of dynamics"),
        (lambda: degeneracy(recorded), "no weight_hh"),
        (lambda: degeneracy(extrapolation=recorded), "lie in the trained range"),
        (lambda: degeneracy(extrapolation=far.isel(network=[0, 1])), "2 networks with outputs"),
    ):
        with pytest.raises(SolspaceError, match=message):
            call()


# --------------------------------------------------------------------------- stores and elsewhere


def pickled(function, items):
    """Items through a function that went to another process and back."""
    import cloudpickle

    sent = cloudpickle.dumps(function)
    for item in items:
        yield item, cloudpickle.loads(sent)(item)


@pytest.mark.parametrize("measure", ["procrustes", "dsa", "weights"])
def test_pairs_of_blocks_elsewhere_are_the_same(recorded, population, measure):
    options = {"restarts": 0} if measure == "weights" else {}
    data = population if measure == "weights" else recorded.chunk(network=2)
    whole = pairwise(data, measure, **options)
    told = []
    parts = pairwise(data, measure, over=pickled, block=2, progress=told.append, **options)
    np.testing.assert_allclose(parts, whole, atol=1e-12)
    assert sum(told) == 15
    sides = pairwise(data.isel(network=[0, 1]), measure, other=data.isel(network=[2, 3, 4]),
                     over=pickled, block=2, **options)  # fmt: skip
    np.testing.assert_allclose(sides, whole[:2, 2:], atol=1e-9)


def test_workers_are_sent_no_activity(demo_store):
    """Of a store they read their own blocks."""
    import cloudpickle

    sizes = []

    def over(function, items):
        sizes.append(len(cloudpickle.dumps(function)))
        return pickled(function, items)

    ds = solspace.open_population(demo_store, "interval_reproduction", "vanilla", "training")
    found = pairwise(ds, over=over, block=1)
    np.testing.assert_allclose(found, pairwise(ds.load()), atol=1e-12)
    assert max(sizes) < ds.activity.nbytes / 20


@pytest.mark.slow
def test_a_cluster_gives_what_threads_give(demo_store):
    from distributed import Client, LocalCluster

    from solspace.run.comparing import compare_networks, measure_degeneracy

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),  # active, so that it is used
    ):
        there = {m: compare_networks(demo_store, m, block=2)[VANILLA] for m in ("cca", "dsa")}
        levels = measure_degeneracy(demo_store, networks=3)[VANILLA]
    for name, found in there.items():
        xr.testing.assert_allclose(found, compare_networks(demo_store, name)[VANILLA])
    xr.testing.assert_allclose(levels, measure_degeneracy(demo_store, networks=3)[VANILLA])


def typed(*words: object) -> tuple[int, str, str]:
    import contextlib
    import io

    from solspace.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def test_compare_networks_of_a_store(demo_store, tmp_path):
    kept = tmp_path / "pairs.nc"
    typed_so = ("compare", demo_store, "--measure", "dsa", "--option", "rank=10", "--option",
                "center=true", "--by", "hidden_size", "name", "-o", kept)  # fmt: skip
    code, out, err = typed(*typed_so)
    assert code == 0, err
    assert "direction  distance, 0 for the same; a metric; exact" in out
    assert "pairs      6, of 4 networks" in out and f"pairs: {kept}" in out
    assert "name: no two networks are of one class of 'name'" in out
    ds = solspace.open_population(demo_store, "interval_reproduction", "vanilla", "training")
    with xr.open_dataarray(kept) as found:
        np.testing.assert_allclose(found, pairwise(ds, "dsa", rank=10, center=True), atol=1e-12)
        assert found.attrs["center"] == 1 and "solution_name" in found.coords
    code, _, err = typed(*typed_so)
    assert code == 2 and "give another name, or --force" in err
    assert typed(*typed_so, "--force", "--quiet")[:2] == (0, "")
    code, out, _ = typed("compare", demo_store, "--quiet", "--measure", "weights", demo_store)
    assert code == 0 and not out
    code, out, _ = typed("compare", "--measure", "list")
    assert code == 0 and len(out.splitlines()) == 1 + len(MEASURES)
    code, out, _ = typed("degeneracy", demo_store, "--networks", 3)
    assert code == 0 and re.search(
        r"behaviour .*\n *dynamics .*\n *weights .* 3 networks drawn", out
    )


def test_what_cannot_be_compared_is_one_line(demo_store, tmp_path):
    small = xr.open_zarr(STORE, group="delayed_discrimination/vanilla").isel(network=[0, 1, 2])
    kept = [n for n in small.data_vars if str(n).startswith(("weight", "bias"))]
    other = tmp_path / "other.zarr"
    solspace.add_population(other, small[[*kept, "loss", "status_train"]].load().drop_attrs())
    for words, message in (
        ((), "give STORE OTHER, or STORE --measure NAME"),
        ((demo_store,), "compare needs OTHER"),
        ((demo_store, demo_store, "--block", 2), "--block is of --measure NAME"),
        ((demo_store, "--measure", "cosine"), "give one of procrustes, "),
        ((demo_store, "--measure", "dsa", "--option", "delay=2"), "no option of measure 'dsa'"),
        ((demo_store, "--measure", "dsa", "--option", "delays=few"), "'few' is no int"),
        ((demo_store, "--measure", "cka", "--by", "key"), "no network has the label 'key'"),
        ((demo_store, "--measure", "cka", "-o", "pairs.csv"), "ends in .nc"),
        ((demo_store, "--measure", "cka", "-o", tmp_path / "no" / "pairs.nc"), "no folder"),
        ((demo_store, other, "--measure", "cka"), "populations of one task"),
        ((demo_store, "--measure", "cka", "--workers", 0), "give 1 or more"),
        ((demo_store, "--measure", "cka", "--block", 0), "give 1 or more"),
        ((other, "--measure", "cka"), "type `solspace record"),
        ((tmp_path / "none.zarr", "--measure", "cka"), "no such store"),
        ((STORE.with_name("two_neuron.zarr"), "--measure", "cka"), "has no activity on trials"),
    ):
        code, _, err = typed("compare", *words)
        assert code == 2 and message in err.splitlines()[-1], err
    code, out, _ = typed("degeneracy", other)
    assert code == 0 and "dynamics: type `solspace record" in out
