"""Stages of a user's own: docs/own_analysis.md as written, laziness, what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from blocks import python_blocks

import solspace
from solspace import SolspaceError, Variable, run_stage, stage
from solspace.networks import parameter_shapes
from solspace.population.variables import DONE, FAILED, PENDING
from solspace.stages import collection
from solspace.stages.record import record_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own_analysis.md"
GROUP = "interval_reproduction/vanilla"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page's blocks, run one after the other in a folder of its own."""
    folder = tmp_path_factory.mktemp("own_analysis")
    (folder / "stores").mkdir()
    blocks = python_blocks("docs/own_analysis.md")
    (folder / "my_analysis.py").write_text(blocks[0])
    names: dict = {"np": np, "solspace": solspace}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        for block in blocks[1:]:
            exec(block, names)
    names["folder"] = folder
    yield names
    collection._OWN.pop(("recurrent", "participation_ratio"), None)
    sys.modules.pop("my_analysis", None)


@pytest.fixture(autouse=True)
def forget():
    """Stages a test registers are forgotten after it."""
    before = dict(collection._OWN)
    yield
    collection._OWN.clear()
    collection._OWN.update(before)


def small(networks: int = 4) -> xr.Dataset:
    rng = np.random.default_rng(0)
    shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    mine = {
        f"n{i}": {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
        for i in range(networks)
    }
    return solspace.import_networks("interval_reproduction", "vanilla", mine)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A store of four networks with activity."""
    path = str(tmp_path_factory.mktemp("recorded") / "small.zarr")
    solspace.add_population(path, small(), shard_size=2)
    run_stage(path, "record")
    return path


def copy(path: str, tmp_path: Path) -> str:
    import shutil

    return shutil.copytree(path, tmp_path / "copy.zarr", dirs_exist_ok=True).as_posix()


def files(path: str) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(Path(path).rglob("*")) if p.is_file()}


@stage(
    reads=["training/activity"],
    fills=[Variable("largest", ("network",), "float32", "largest absolute activity")],
)
def largest(ds, *, skip: int = 0):
    """Largest absolute activity."""
    activity = abs(ds.activity.isel(time=slice(skip, None)))
    return ds.assign(largest=activity.max(("trial", "time", "unit")))


# --------------------------------------------------------------------------- the page


def test_the_page_gives_the_participation_ratio(page):
    training, result = page["training"], page["result"]
    i, flag = 2, int(training.epoch_flag.sel(epoch_name="set_go"))
    states = training.activity.values[i][training.epoch.values == flag]
    share = np.linalg.svd(states - states.mean(axis=0), compute_uv=False) ** 2
    expected = share.sum() ** 2 / (share**2).sum()
    got = result.participation_ratio.sel(epoch_name="set_go").values[i]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert result.participation_ratio.attrs["units"] == "1"
    assert result.status_participation_ratio.values.tolist() == [DONE] * 6


def test_memory_store_and_dask_agree(page):
    stored = page["stored"].participation_ratio.values
    np.testing.assert_array_equal(stored, page["result"].participation_ratio.values)
    lazy = page["lazy"].compute()
    again = page["participation_ratio"](page["training"], skip=5)
    np.testing.assert_array_equal(lazy.participation_ratio, again.participation_ratio)


def test_the_page_from_the_command_line(page):
    """Its commands, typed in a shell: workers get a function from a file they never saw."""
    lines = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), flags=re.S)[0].strip().splitlines()
    told = []
    for line in lines:
        command = [sys.executable, "-m", "solspace", *line.split()[1:]]
        done = subprocess.run(command, cwd=page["folder"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert "nothing was pending" in told[0]
    assert "participation-ratio" in told[1] and "6 of 6 networks done" in told[1]
    assert "    participation-ratio: how many dimensions" in told[2]
    path = str(page["folder"] / "stores" / "mine.zarr")
    stored = xr.open_zarr(path, group=GROUP).participation_ratio
    np.testing.assert_array_equal(stored, page["lazy"].participation_ratio.compute())


# --------------------------------------------------------------------------- lazily


def test_stages_of_the_package_are_lazy_on_lazy_data():
    population = small()
    assert (solspace.reduce(population).status_reduce == DONE).sum() >= 3
    lazy = population.chunk(network=2)
    for function in (solspace.record, solspace.extrapolate, solspace.reduce):
        calls = []

        def count(key, *args, calls=calls, **kwargs):
            calls.append(key)

        with dask.callbacks.Callback(pretask=count):
            answer = function(lazy)
        assert not calls, "something was computed"
        done = answer.compute(scheduler="threads")
        here = function(population)
        assert set(done.variables) == set(here.variables)
        xr.testing.assert_equal(done, here)
        for name in here.variables:
            assert done[name].dtype.kind == here[name].dtype.kind, name
            assert answer[name].dims == here[name].dims, name


@pytest.mark.slow
def test_lazy_results_come_from_any_scheduler():
    distributed = pytest.importorskip("distributed")
    population = small()
    expected = largest(solspace.record(population)).largest.values
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        lazy = largest(solspace.record(population.chunk(network=1)))
        np.testing.assert_array_equal(lazy.largest.compute(), expected)


def test_memory_is_bounded_by_the_chunk(tmp_path):
    """Peak memory of a lazy analysis over a store does not grow with the number of networks."""
    code = """
import resource, sys
import numpy as np, xarray as xr, dask, solspace
from solspace.networks import parameter_shapes
networks = int(sys.argv[1])
rng = np.random.default_rng(1)
shapes = parameter_shapes("vanilla", 50, inputs=2, outputs=1)
one = {n: rng.normal(0, .1, s) for n, s in shapes.items()}
one = solspace.import_networks("interval_reproduction", "vanilla", {"a": one})
many = xr.concat([one] * networks, "network").assign_coords(network=np.arange(networks))
training = solspace.record(many.chunk(network=4))
with dask.config.set(scheduler="threads", num_workers=2):
    float(abs(training.activity).mean().compute())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    peak = []
    for networks in (8, 80):
        done = subprocess.run(
            [sys.executable, "-c", code, str(networks)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        peak.append(float(done.stdout))
    # 72 further networks are 67 MB of activity; blocks of 4 are under 4 MB.
    assert peak[1] - peak[0] < 40


# --------------------------------------------------------------------------- over a store


def test_a_network_that_fails_does_not_stop_the_others(recorded, tmp_path):
    path = copy(recorded, tmp_path)

    @stage(
        reads=["training/activity"],
        fills=[Variable("first", ("network", "unit"), "float32", "first state")],
    )
    def first(ds):
        """First state."""
        if "n2" in ds.name.values:
            raise ValueError("not this one")
        return ds.assign(first=ds.activity.isel(trial=0, time=0))

    (outcome,) = run_stage(path, first)
    assert (outcome.done, outcome.failed) == (3, 1)
    ds = xr.open_zarr(path, group=GROUP).load()
    assert ds.status_first.values.tolist() == [DONE, DONE, FAILED, DONE]
    assert ds.message_first.values.tolist() == ["", "", "ValueError: not this one", ""]
    assert np.isnan(ds["first"].values[2]).all() and np.isfinite(ds["first"].values[3]).all()
    assert solspace.check_store(path) == []


def test_what_is_there_is_skipped_and_other_options_are_said(recorded, tmp_path):
    path = copy(recorded, tmp_path)
    (outcome,) = run_stage(path, largest, options={"skip": 3})
    assert outcome.computed == 4
    (outcome,) = run_stage(path, largest, options={"skip": 3})
    assert outcome.computed == 0
    with pytest.raises(SolspaceError, match="was run with --skip 3; give the same"):
        run_stage(path, largest, options={"skip": 4})
    (outcome,) = run_stage(path, largest, options={"skip": 4}, redo=True)
    assert outcome.computed == 4


def test_it_is_pending_again_when_an_earlier_stage_is(recorded, tmp_path):
    path = copy(recorded, tmp_path)
    run_stage(path, largest)
    run_stage(path, "record", redo=True)
    ds = xr.open_zarr(path, group=GROUP)
    assert (ds.status_largest.values == PENDING).all()


@pytest.mark.slow
def test_it_is_pending_again_also_where_a_process_does_not_know_it(recorded, tmp_path):
    path = copy(recorded, tmp_path)

    @stage(reads=["largest"], fills=[Variable("half", ("network",), "float32", "half of it")])
    def half(ds):
        """Half of the largest."""
        return ds.assign(half=ds.largest / 2)

    run_stage(path, largest)
    run_stage(path, half)
    collection._OWN.clear()
    run_stage(path, "record", redo=True)
    ds = xr.open_zarr(path, group=GROUP)
    assert (ds.status_largest.values == PENDING).all()
    assert (ds.status_half.values == PENDING).all()
    run_stage(path, largest)
    run_stage(path, "extrapolate")  # nothing of theirs is touched
    ds = xr.open_zarr(path, group=GROUP)
    assert (ds.status_largest.values == DONE).all()


@pytest.mark.slow
def test_it_goes_on_where_it_was_stopped(recorded, tmp_path):
    path, whole = copy(recorded, tmp_path / "a"), copy(recorded, tmp_path / "b")
    run_stage(whole, largest)
    (outcome,) = run_stage(path, largest, part="1/2")
    assert outcome.computed == 2
    run_stage(path, largest)
    one, other = (xr.open_zarr(p, group=GROUP).load() for p in (path, whole))
    np.testing.assert_array_equal(one.largest, other.largest)


def test_what_is_missing_is_said_or_computed_first(tmp_path):
    path = str(tmp_path / "small.zarr")
    solspace.add_population(path, small())
    with pytest.raises(SolspaceError, match="largest needs record to have ended"):
        run_stage(path, largest)
    run_stage(path, largest, needed=True)
    assert (xr.open_zarr(path, group=GROUP).status_largest.values == DONE).all()


def test_over_a_population(recorded, tmp_path):
    path = copy(recorded, tmp_path)

    @stage(
        over="population",
        reads=["training/output"],
        fills=[Variable("distance", ("network",), "float64", "distance from the mean output")],
    )
    def distance(ds):
        """Distance from the mean output of all networks."""
        output = ds.output.load()
        apart = ((output - output.mean("network")) ** 2).mean(("trial", "time", "output_channel"))
        return ds.assign(distance=apart.astype("float64"))

    run_stage(path, distance)
    ds = xr.open_zarr(path, group=GROUP).load()
    assert (ds.status_distance.values == DONE).all() and (ds.distance > 0).all()
    with pytest.raises(SolspaceError, match="looks at all networks of a population together"):
        run_stage(path, distance, part="1/2")


def test_options_that_do_not_fit_those_of_an_earlier_stage(recorded, tmp_path):
    path = copy(recorded, tmp_path)

    @stage(
        reads=["largest"],
        fills=[Variable("twice", ("network",), "float32", "twice the largest")],
    )
    def twice(ds, *, skip: int = 0):
        """Twice the largest."""
        return ds.assign(twice=2 * ds.largest)

    run_stage(path, largest, options={"skip": 7})
    with pytest.raises(SolspaceError, match="skip=0, and largest, which it needs, ran with skip=7"):
        run_stage(path, twice)
    run_stage(path, twice, options={"skip": 7})
    ds = xr.open_zarr(path, group=GROUP).load()
    np.testing.assert_array_equal(ds.twice, 2 * ds.largest)


# --------------------------------------------------------------------------- what is refused


def bad(function, **declared):
    known = {"reads": ["training/activity"], "fills": [Variable("x", ("network",), "float32", "x")]}
    return stage(**{**known, **declared})(function)


def undeclared(ds):
    """Fills something else too."""
    return ds.assign(x=("network", np.zeros(ds.sizes["network"], "f4")), y=3.0)


def left_out(ds):
    """Fills nothing."""
    return ds


def shorter(ds):
    """Drops a network."""
    return ds.isel(network=slice(1)).assign(x=("network", np.zeros(1, "f4")))


def other_dims(ds):
    """Has other dims."""
    return ds.assign(x=(("network", "trial"), np.zeros((ds.sizes["network"], 31), "f4")))


def words(ds):
    """Fills words."""
    return ds.assign(x=("network", np.array(["a"] * ds.sizes["network"])))


def broken(ds):
    """Fails."""
    raise KeyError("nothing")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (undeclared, "undeclared fills 'y', which it did not declare"),
        (left_out, "left_out declares 'x' and did not fill it"),
        (shorter, "shorter was given 2 networks and returned 1"),
        (other_dims, r"'x' has dims \(network, trial\), expected \(network\)"),
        (words, "'x' with <U1, declared is float32"),
        (broken, "broken fails for every network in the same way: KeyError: 'nothing'"),
    ],
)
def test_a_function_that_does_not_keep_its_word(recorded, tmp_path, function, message):
    path = copy(recorded, tmp_path)
    with pytest.raises(SolspaceError, match=message):
        run_stage(path, bad(function))
    ds = xr.open_zarr(path, group=GROUP)
    assert (ds[f"status_{function.__name__}"].values == PENDING).all()
    assert np.isnan(ds.x.values).all()
    assert solspace.check_store(path) == []


def test_a_dim_whose_length_nothing_says_is_refused_before_anything_is_written(recorded, tmp_path):
    path = copy(recorded, tmp_path)
    before = files(path)
    variable = Variable("x", ("network", "component"), "float32", "x")
    with pytest.raises(SolspaceError, match="the length of dim 'component' of 'x' is not known"):
        run_stage(path, bad(left_out, fills=[variable]))
    after = files(path)
    assert {k for k in before if not k.endswith("zarr.json")} <= set(after)
    assert "x" not in xr.open_zarr(path, group=GROUP)


def test_declarations_that_do_not_fit():
    with pytest.raises(SolspaceError, match="has a dim of its own name"):
        Variable("trial", ("network", "trial"), "float32", "x")
    with pytest.raises(SolspaceError, match="give strings a greatest length"):
        Variable("x", ("network",), "U", "x")
    with pytest.raises(SolspaceError, match="Python takes as one"):
        Variable("my x", ("network",), "float32", "x")
    with pytest.raises(SolspaceError, match="fills nothing"):
        bad(left_out, fills=[])
    with pytest.raises(SolspaceError, match="over='pairs'"):
        bad(left_out, over="pairs")
    with pytest.raises(SolspaceError, match="has no default"):
        bad(lambda ds, *, k: ds, name="needs_k")
    with pytest.raises(SolspaceError, match="'len' is no stage"):
        record_of(len)


def test_names_of_the_package_are_taken(recorded):
    with pytest.raises(SolspaceError, match="a stage of the package is named 'record' too"):
        run_stage(recorded, bad(left_out, name="record"))
    variable = Variable("loss", ("network",), "float64", "x")
    with pytest.raises(SolspaceError, match="fills 'loss', which is filled by train"):
        run_stage(recorded, bad(left_out, fills=[variable]))


def test_a_file_that_holds_no_stage(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def speed(ds):\n    return ds\n")
    with pytest.raises(SolspaceError, match="'speed' is no stage"):
        collection.load_stage(f"{file}:speed")
    with pytest.raises(SolspaceError, match="has no function 'slow'; stages in it: none"):
        collection.load_stage(f"{file}:slow")
    file.write_text("1/0\n")
    with pytest.raises(SolspaceError, match="fails when read"):
        collection.load_stage(f"{file}:speed")


def test_unknown_options_are_refused(recorded):
    with pytest.raises(SolspaceError, match="largest has no option 'skpi'; options: skip"):
        run_stage(recorded, largest, options={"skpi": 1})


def test_a_stage_is_found_where_its_file_is_put(tmp_path, monkeypatch):
    """One new file and no list: solspace/FOLDER/stage.py."""
    folder = tmp_path / "dimension"
    folder.mkdir()
    (folder / "stage.py").write_text(
        "import solspace\n"
        "@solspace.stage(reads=['training/activity'], after=['record'], fills=[solspace.Variable(\n"
        "    'spread', ('network',), 'float32', 'standard deviation of activity')])\n"
        "def spread(ds, *, ddof: int = 0):\n"
        "    '''Standard deviation of activity.'''\n"
        "    return ds.assign(spread=ds.activity.std(('trial', 'time', 'unit'), ddof=ddof))\n"
    )
    monkeypatch.setattr(solspace, "__path__", [*solspace.__path__, str(tmp_path)])
    try:
        assert "spread" in collection.stages()
        assert "spread: standard deviation of activity" in collection.draw()
        from solspace.cli.arguments import make_parser

        assert (
            "--ddof" in make_parser()._subparsers._group_actions[0].choices["spread"].format_help()
        )
        from solspace.stages.page import markdown

        assert "| `spread` |" in markdown()
        path = str(tmp_path / "small.zarr")
        solspace.add_population(path, small(2))
        run_stage(path, "spread", needed=True)
        ds = xr.open_zarr(path, group=GROUP).load()
        assert (ds.spread > 0).all() and "status_spread" in ds
        assert "spread" in solspace.describe(path)
        assert zarr.open_group(path, path=GROUP, mode="r")["spread"].attrs["long_name"]
    finally:
        sys.modules.pop("solspace.dimension.stage", None)
        sys.modules.pop("solspace.dimension", None)
        monkeypatch.undo()
        collection.stages()
