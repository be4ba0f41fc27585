"""One machine gives the same bits, whatever it has compiled; others are told what they lack."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from computing import PARTS
from numba import njit
from numba.core.dispatcher import Dispatcher

import solspace
from solspace.cli import main
from solspace.networks import fused
from solspace.networks.fused import fma, has_fma, slow_processor
from validation import processors
from validation.processors import PROCESSORS, compare_labels, compare_numbers, environment

ROOT = Path(__file__).resolve().parents[1]


def computed(out: Path, cache: Path, names: list[str]) -> dict[str, np.ndarray]:
    """What parts of tests/computing.py give in a process of their own, in this order."""
    subprocess.run(
        [sys.executable, "tests/computing.py", str(out), *names],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)},
        check=True,
    )
    with np.load(out) as found:
        return dict(found)


def assert_same_bits(tmp_path: Path, names: list[str]) -> None:
    """Compiled, then found compiled, the other way round so that others are loaded first."""
    cold = computed(tmp_path / "cold.npz", tmp_path / "numba", names)
    assert any((tmp_path / "numba").rglob("*.nbc")), "nothing was compiled"
    warm = computed(tmp_path / "warm.npz", tmp_path / "numba", names[::-1])
    assert cold.keys() == warm.keys()
    for name, array in cold.items():
        assert array.dtype == warm[name].dtype and array.tobytes() == warm[name].tobytes(), name


@pytest.mark.slow
def test_a_cold_and_a_warm_cache_give_the_same_bits(tmp_path):
    assert_same_bits(tmp_path, ["planar", "flow"])


@pytest.mark.slow
def test_a_cold_and_a_warm_cache_give_the_same_bits_in_every_kernel(tmp_path):
    assert_same_bits(tmp_path, list(PARTS))


def compiled_functions() -> dict[int, Dispatcher]:
    """Every function of the package that Numba compiles."""
    found: dict[int, Dispatcher] = {}
    for module in pkgutil.walk_packages(solspace.__path__, "solspace."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Dispatcher) and value.py_func.__module__.startswith("solspace"):
                found[id(value)] = value
    return found


def test_what_the_compiler_may_round_as_it_likes_has_one_copy():
    """Else bits turn on which copy a process loads: its own, or that within what calls it."""
    functions = compiled_functions()
    called = {
        key: [
            id(value)
            for name in function.py_func.__code__.co_names
            if isinstance(value := function.py_func.__globals__.get(name), Dispatcher)
        ]
        for key, function in functions.items()
    }
    assert len(functions) > 60 and sum(map(len, called.values())) > 60

    def is_free(key: int) -> bool:
        return bool(functions[key].targetoptions.get("fastmath")) or any(
            is_free(other) for other in called[key] if other != key
        )

    free = {key for key in functions if is_free(key)}
    inner = {other for others in called.values() for other in others}
    assert free & inner, "nothing is asked here"
    apart = [
        f"{functions[key].__module__}.{functions[key].__name__}"
        for key in free & inner
        if not functions[key].targetoptions.get("forceinline")
    ]
    assert apart == [], "add forceinline=True, or write out what is fused (solspace.networks.fused)"


@njit
def _fused(a, b, c, out):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = fma(a[k], b[k], c[k])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_product_and_a_sum_are_rounded_once(dtype):
    a, b, c = np.random.default_rng(0).normal(size=(3, 999)).astype(dtype)
    out = np.empty_like(a)
    _fused(a, b, c, out)
    wide = np.longdouble if dtype is np.float64 else np.float64
    exact = (a.astype(wide) * b + c).astype(dtype)
    # A rounding of the product and one of the sum; the exact sum is rounded once, or almost always.
    bound = np.finfo(dtype).eps * (np.abs(a * b) + np.abs(c))
    assert (np.abs(out - exact) <= bound).all()
    if has_fma():
        assert (out == exact).mean() > 0.99
        assert (a * b + c != exact).mean() > 0.01


def test_a_processor_without_fused_products_is_told_that_it_is_slow(tmp_path, capfd, monkeypatch):
    """In a process that is told to be one, and by the command that trains."""
    asked = "from solspace.networks.fused import *; print(has_fma()); print(slow_processor())"
    told = environment("x86-64-v2", tmp_path)
    if os.uname().machine != "x86_64":
        pytest.skip("only a processor of the x86-64 family can be told to be another")
    ran = subprocess.run(
        [sys.executable, "-c", asked],
        env=told,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    first, said = ran.stdout.splitlines()
    assert first == "False" and said.startswith("this processor (nehalem)")
    assert "training works, and is slower" in said
    monkeypatch.setattr(fused, "has_fma", lambda: False)
    assert "training works, and is slower" in slow_processor()
    store = str(tmp_path / "small.zarr")
    command = ["train", store, "--task", "two_neuron", "--networks", "2", "--quiet"]
    assert main(command) == 0
    assert capfd.readouterr().err.count("training works, and is slower") == 1


# --------------------------------------------------------------------------- processors compared


def test_an_environment_has_nothing_left_of_another(monkeypatch):
    monkeypatch.setenv("NUMBA_CPU_NAME", "nehalem")
    assert "NUMBA_CPU_NAME" not in environment("here", "kept")
    assert environment("avx2", "kept")["NUMBA_CPU_NAME"] == "haswell"
    assert "GLIBC_TUNABLES" not in environment("avx2", "kept")
    assert PROCESSORS["here"] == {}


def test_the_makefile_tells_processors_the_same():
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ").replace('"', "")
    for name, variable in (("avx2", "AVX2"), ("x86-64-v2", "X86_64_V2")):
        line = next(row for row in text.splitlines() if row.startswith(f"{variable} :="))
        for key, value in PROCESSORS[name].items():
            assert f"{key}={value}" in line, (variable, key)


UNDONE = "delayed_discrimination/vanilla"


def test_tables_name_what_differs(monkeypatch):
    monkeypatch.setattr(processors, "POPULATIONS", ("interval_reproduction/vanilla", UNDONE))
    monkeypatch.setattr(processors, "TRAINED", ("vanilla",))
    monkeypatch.setattr(processors, "NUMBERS", ("activity",))
    monkeypatch.setattr(processors, "LABELS", {"graph_key": 2})
    features = np.ones((2, 259))
    other_features = features + 1e-15
    other_features[1, 7] += 1e-3
    network = {"loss": np.linspace(1, 0.5, 11), "weights": np.ones(5)}
    here = {
        "train": {"vanilla": network},
        "numbers interval_reproduction/vanilla": {
            "activity": np.ones((2, 3)),
            "features": features,
        },
        "labels interval_reproduction/vanilla": {"graph_key": ["a", "b"]},
    }
    moved = np.ones((2, 3))
    moved[0, 0] += 1e-6
    moved[1] = np.nan
    other = {
        "train": {"vanilla": {**network, "weights": np.full(5, 1 + 1e-3)}},
        "numbers interval_reproduction/vanilla": {"activity": moved, "features": other_features},
        "labels interval_reproduction/vanilla": {"graph_key": ["a", "c"]},
    }
    text = processors.tables({"here": here, "avx2": other}, every=10)
    assert "| vanilla | loss after 200 steps | the same bits |" in text
    assert "| vanilla | weights then | 1e-03 |" in text
    assert "| activity | 1e-06; 1 of 2 with others |" in text
    assert "| features | 1e-15 in the median; 1 of 259 over 1e-06, most 1e-03 (`" in text
    assert "| `graph_key` | 1 of 2 |" in text
    assert "- interval_reproduction/vanilla, network 20, `graph_key`, on avx2" in text
    assert f"| {UNDONE} | activity | not computed |" in text
    same = processors.tables({"here": here, "avx2": here}, every=10)
    assert "No network has another label." in same and "e-" not in same
    assert compare_labels({"k": ["a"]}, {"k": ["a"]}) == {"k": []}
    assert compare_numbers(np.ones(2), np.ones(3)) == np.inf
