"""How stable each label of a population is: the stage ``stability``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make
from solspace.labels.registry import label_stages
from solspace.population.sound import done
from solspace.population.trained import RECURRENT
from solspace.population.variables import Variable, text_array
from solspace.stages import Group, Layout, stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Recipe, Task

__all__ = ["draw_networks", "label_stability", "stability_table"]

NOISE = (1e-5, 1e-4, 1e-3)
DRAWS = 3
FURTHER_STEPS = 400
_KEY_LENGTH = 160


def layout(task: Task, ds: xr.Dataset, options: Mapping[str, Any]) -> dict[str, Layout]:
    """The labels that are looked at and what is tried; refuses options that cannot be."""
    import xarray as xr

    from solspace.stability.labelling import asked_labels
    from solspace.stability.perturbing import perturbation_names

    given = {name: value for name, value in options.items() if value is not None}
    noise = [float(s) for s in given.get("noise", NOISE)]
    steps, draws = int(given.get("further_steps", FURTHER_STEPS)), int(given.get("draws", DRAWS))
    names = perturbation_names(noise, steps, bool(given.get("processor", True)))
    if draws < 1 or given.get("networks", 1) < 1 or given.get("seed", 0) < 0:
        raise SolspaceError(
            f"draws={draws}, networks={given.get('networks', 'all')}, seed={given.get('seed', 0)}; "
            "give 1 or more draws and networks, and a seed of 0 or more"
        )
    if not given.get("further_rate", 1.0) > 0:
        raise SolspaceError(
            f"further_rate={given['further_rate']:g}; give a learning rate over 0, or leave it "
            "out for the rate that training ended at"
        )
    if steps:
        _recipe(task, ds)
    sizes = [*noise, *[0.0] * (len(names) - len(noise))]
    coordinates = xr.Dataset(
        coords={
            "label": text_array([one.spelled for one in asked_labels(given.get("labels"))]),
            "perturbation": text_array(names),
            "noise": ("perturbation", np.array(sizes)),
            "draws": (
                "perturbation",
                np.array([draws] * len(noise) + [1] * (len(names) - len(noise)), np.int16),
            ),
        }
    )
    return {"stability": Layout(coordinates)}


def _recipe(task: Task, ds: xr.Dataset) -> Recipe:
    from solspace.population.describe import architecture_of, recipe_of

    if "recipe" in ds.attrs:
        return recipe_of(ds)
    try:
        return task.recipe(architecture_of(ds))
    except SolspaceError as error:
        raise SolspaceError(
            f"{error}; without one there are no further steps: give further_steps=0 "
            "(--further-steps 0)"
        ) from None


def _rate(ds: xr.Dataset, i: int, recipe: Recipe) -> float:
    """The learning rate in force when a network's training ended."""
    from solspace.training.further import rate_at_end

    return rate_at_end(
        recipe,
        int(ds["hidden_size"].values[i]),
        int(ds["gradient_steps"].values[i]) if "gradient_steps" in ds.variables else -1,
        ds["loss_curve"].values[i] if "loss_curve" in ds.variables else (),
    )


def draw_networks(ds: xr.Dataset) -> dict[int, int]:
    """The place of each network of a whole population in a random order, by its number.

    The first so many are a sample; a larger sample holds the smaller.

    Examples
    --------
    >>> import xarray as xr
    >>> sorted(draw_networks(xr.Dataset(coords={"network": [0, 1, 2]})).values())
    [0, 1, 2]
    """
    numbers = _numbers(ds)
    places = np.random.default_rng(0).permutation(len(numbers))
    return dict(zip(numbers, places.tolist(), strict=True))


def _numbers(ds: xr.Dataset) -> list[int]:
    n = ds.sizes["network"]
    return [int(v) for v in (ds["network"].values if "network" in ds.coords else np.arange(n))]


# --------------------------------------------------------------------------- over all networks


def _share(ds: xr.Dataset) -> NDArray[np.float64]:
    """Share of the networks looked at that keep each label; NaN where none was."""
    unchanged = ds["unchanged"].transpose("network", "label", "perturbation").values
    known = np.isfinite(unchanged)
    count = known.sum(axis=0)
    total = np.where(known, unchanged, 0.0).sum(axis=0, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _bound(ds: xr.Dataset, which: int) -> NDArray[np.float64]:
    from solspace.stability.shares import wilson_interval

    unchanged = ds["unchanged"].transpose("network", "label", "perturbation").values
    count = np.isfinite(unchanged).sum(axis=0)
    return np.where(count > 0, wilson_interval(_share(ds), count)[which], np.nan)


def _low(ds: xr.Dataset) -> NDArray[np.float64]:
    return _bound(ds, 0)


def _high(ds: xr.Dataset) -> NDArray[np.float64]:
    return _bound(ds, 1)


_OVER_ALL = {"share": _share, "share_low": _low, "share_high": _high}


def faults_of(parts: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """In what shares are at odds with themselves, a sentence each."""
    if "stability" not in parts:  # not asked for
        return
    ds = parts["stability"]
    for i, name in done(parts["population"], "stability"):
        values = ds["unchanged"].values[i]
        if (values[np.isfinite(values)] > 1).any() or (values[np.isfinite(values)] < 0).any():
            yield f"network {name}: a share of draws that is not between 0 and 1"
        known = np.isfinite(values).any(axis=-1)
        if (known & (ds["label_key"].values[i] == "")).any():
            yield f"network {name}: called stable or not, but has no label"


# --------------------------------------------------------------------------- the table


def stability_table(ds: xr.Dataset) -> str:
    """Shares of networks that keep each label, with their intervals, as text.

    Parameters
    ----------
    ds : Dataset
        The stability group of a store, or what `solspace.label_stability` returns.

    Examples
    --------
    >>> import xarray as xr
    >>> dims = ("network", "label", "perturbation")
    >>> ds = xr.Dataset({"unchanged": (dims, [[[1.0, np.nan]], [[0.5, np.nan]]])},
    ...                 coords={"label": ["graph_key"],
    ...                         "perturbation": ["noise_1e-3", "processor"]})
    >>> print(stability_table(ds))
      label      networks  noise_1e-3           processor
      graph_key         2  0.75 (0.20 to 0.97)  not tried
      not tried: on no network; `processor` takes a machine of the x86-64 family
    """
    if "unchanged" not in ds.variables:
        raise SolspaceError(
            f"the dataset has no 'unchanged'; {how_to_make('stability')} (in a store it stands in "
            "the group TASK/ARCHITECTURE/stability)"
        )
    share, low, high = _share(ds), _low(ds), _high(ds)
    networks = np.isfinite(ds["unchanged"].values).any(axis=-1).sum(axis=0)
    head = ["label", "networks", *map(str, ds["perturbation"].values)]
    rows = [head]
    for i, label in enumerate(ds["label"].values):
        cells = [
            f"{s:.2f} ({a:.2f} to {b:.2f})" if np.isfinite(s) else "not tried"
            for s, a, b in zip(share[i], low[i], high[i], strict=True)
        ]
        rows.append([str(label), str(networks[i]), *cells])
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = []
    for row in rows:
        cells = [c.rjust(w) if k == 1 else c.ljust(w)
                 for k, (c, w) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append(("  " + "  ".join(cells)).rstrip())
    if not np.isfinite(share).all():
        lines.append("  not tried: on no network; `processor` takes a machine of the x86-64 family")
    return "\n".join(lines)


# --------------------------------------------------------------------------- the stage


def _variable(name: str, dims: Sequence[str], dtype: str, meaning: str, **more: Any) -> Variable:
    return Variable(
        name, tuple(dims), dtype, meaning, group="stability", architectures=RECURRENT, **more
    )


_BY_LABEL = ("label", "perturbation")
FILLS = (
    _variable("label", ("label",), "U64", "a label of what a network does", coordinate=True),
    _variable(
        "perturbation",
        ("perturbation",),
        "U32",
        "what is done to a network: `noise_S`, every weight times 1 + S z with z standard normal; "
        "`training_N`, N further gradient steps; `processor`, nothing, but the label is computed "
        "as on another kind of processor",
        coordinate=True,
    ),
    _variable(
        "noise", ("perturbation",), "float64", "relative size of weight noise; 0 of the others",
        coordinate=True,
    ),
    _variable("draws", ("perturbation",), "int16", "how often it is tried", coordinate=True),
    _variable(
        "label_key",
        ("network", "label"),
        f"U{_KEY_LENGTH}",
        "the network's value of the label (one too long is a digest); empty where it has none",
    ),
    _variable(
        "unchanged",
        ("network", *_BY_LABEL),
        "float32",
        "share of draws in which the network keeps the label; NaN where it has none, was not "
        "drawn, or the perturbation cannot be tried on this machine",
        units="1",
    ),
    _variable(
        "perturbed_loss",
        ("network", "perturbation"),
        "float64",
        "mean squared error over the recorded trials of the perturbed network, mean over draws; "
        "NaN as `unchanged`",
    ),
    _variable(
        "further_rate",
        ("network",),
        "float64",
        "learning rate of the further gradient steps; NaN where there are none",
    ),
    _variable(
        "processors",
        ("network",),
        "U96",
        "kind of processor that labels were computed on, and `as` which other; empty where none",
    ),
    *(
        _variable(name, _BY_LABEL, "float64", f"{which} of the networks looked at; NaN before all "
                  "are done, and where none was looked at", units="1")
        for name, which in {
            "share": "mean of `unchanged`, the share of networks that keep the label,",
            "share_low": "lower end of the 95 % Wilson interval of `share`, by the number",
            "share_high": "upper end of the 95 % Wilson interval of `share`, by the number",
        }.items()
    ),
)  # fmt: skip


@stage(
    name="stability",
    reads=["population"],
    fills=FILLS,
    after=["train"],
    # Labels are computed as the population's own were, so with them as they are now.
    uses=label_stages,
    groups={"stability": Group("which networks keep their labels when they are hardly changed")},
    layout=layout,
    prepare={"order": draw_networks},
    finish={
        f"stability/{name}": (function, ("unchanged",)) for name, function in _OVER_ALL.items()
    },
    faults=faults_of,
    table=stability_table,
)
def label_stability(
    ds: xr.Dataset,
    *,
    task: str | Task | None = None,
    labels: Sequence[str] | None = None,
    noise: Sequence[float] = NOISE,
    draws: int = DRAWS,
    further_steps: int = FURTHER_STEPS,
    further_rate: float | None = None,
    processor: bool = True,
    networks: int | None = None,
    seed: int = 0,
    order: Mapping[int, int] | None = None,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> xr.Dataset:
    """Which networks keep their labels when they are hardly changed, for every label.

    Parameters
    ----------
    ds : Dataset
        A population with weights.
    task : str or Task, optional
        By default the dataset's own.
    labels : sequence of str, optional
        Labels, NAME or with options of the label NAME:OPTION=VALUE, such as
        automaton_key:method=automaton. By default all of `solspace.labels.label_names`, with the
        options of the population's own.
    noise : sequence of float
        Relative sizes of weight noise: every weight is multiplied by 1 + noise * z with z
        standard normal, the same z for every size. None at all leaves it out.
    draws : int
        How many z are drawn for each network.
    further_steps : int
        Gradient steps by which training goes on, on the network's own trials (of a network
        trained elsewhere: on trials drawn for it), from Adam moments of zero. 0 leaves it out.
    further_rate : float, optional
        Their learning rate, by default the one that was in force when the network's training
        ended (see `solspace.training.rate_at_end`).
    processor : bool
        Whether to compute the labels also as another kind of processor of the x86-64 family
        does, in a process that is told it runs on one: without AVX-512, or where this machine
        has none, without AVX2.
    networks : int, optional
        Perturb only so many, drawn at random, by default all. All are labelled.
    seed : int
        Of the noise.
    order : mapping of int to int, optional
        From `draw_networks` on the population this dataset is a part of; by default it is a whole.
    progress : callable (int) -> None, optional
        Told the number of networks done since last called.
    stop : callable () -> bool, optional
        Asked between two perturbations; True raises ``KeyboardInterrupt``.

    Returns
    -------
    Dataset
        With ``unchanged`` (network, label, perturbation), the share of draws in which a network
        keeps its label; ``share`` (label, perturbation), its mean over networks, with the 95 %
        Wilson interval ``share_low`` to ``share_high``; and the loss of the perturbed networks.
        A network that cannot be given one of the labels has ``status_stability`` 2, the reason in
        ``message_stability``, and NaN for that label alone.

    Raises
    ------
    SolspaceError
        For a label that is not known, numbers that cannot be, or further steps without a recipe.

    Warns
    -----
    UserWarning
        On a machine that is not of the x86-64 family, where ``processor`` is not tried.

    Examples
    --------
    >>> from solspace import import_networks
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> mine = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> ds = import_networks("interval_reproduction", "vanilla", {"mine": mine})
    >>> out = label_stability(ds, labels=["graph_key"], noise=[1e-5], further_steps=0,
    ...                       processor=False)
    >>> out.share.item(), out.share_low.item() < 0.3
    (1.0, True)
    """
    from solspace.population.describe import architecture_of, task_of
    from solspace.population.each import each_network, warn_of_failures
    from solspace.population.weights import network_weights
    from solspace.reduction.stage import stored_key
    from solspace.stability.labelling import asked_labels
    from solspace.stability.trial import Trial

    task = task_of(ds, task)
    options = {
        "labels": labels, "noise": noise, "draws": draws, "further_steps": further_steps,
        "further_rate": further_rate, "processor": processor, "networks": networks, "seed": seed,
    }  # fmt: skip
    coordinates = layout(task, ds, options)["stability"].coordinates
    asked = asked_labels(labels, ds.attrs)
    names = [one.spelled for one in asked]
    n, shape = ds.sizes["network"], (len(names), coordinates.sizes["perturbation"])
    numbers = _numbers(ds)
    places = draw_networks(ds) if order is None else order
    recipe = _recipe(task, ds) if further_steps else None
    kept = np.full((n, *shape), np.nan, np.float32)
    loss = np.full((n, shape[1]), np.nan)
    rates = np.full(n, np.nan)
    keys = np.full((n, len(names)), "", dtype=object)
    kinds = np.full(n, "", dtype=object)

    with Trial(
        task,
        architecture_of(ds),
        asked,
        noise=[float(s) for s in noise],
        draws=draws,
        further_steps=further_steps,
        recipe=recipe,
        processor=processor,
        seed=seed,
        stop=stop,
    ) as trial:

        def compute(i: int) -> None:
            weights = network_weights(ds, i)
            own = trial.label(weights)
            keys[i] = [stored_key(one.key) for one in own]
            if networks is None or places[numbers[i]] < networks:
                if recipe is not None:
                    rates[i] = _rate(ds, i, recipe) if further_rate is None else further_rate
                seeded = int(ds["seed"].values[i]) if "seed" in ds.variables else -1
                outcome = trial.network(
                    weights,
                    own,
                    numbers[i],
                    # One trained elsewhere has no trials of its own.
                    training_seed=seeded if seeded >= 0 else numbers[i],
                    rate=float(rates[i]),
                )
                kept[i], loss[i], kinds[i] = outcome.unchanged, outcome.loss, outcome.processors
            lacking = [
                f"{label}: {one.reason or 'no label'}"
                for label, one in zip(names, own, strict=True)
                if not one.key
            ]
            if lacking:
                raise SolspaceError("; ".join(lacking))

        ended = each_network(ds, "stability", compute, after="train", progress=progress)
    out = ds.drop_dims(["label", "perturbation"], errors="ignore").assign(
        {
            "unchanged": (("network", *_BY_LABEL), kept),
            "perturbed_loss": (("network", "perturbation"), loss),
            "further_rate": ("network", rates),
            "label_key": (("network", "label"), text_array(keys)),
            "processors": ("network", text_array(kinds)),
        }
        | ended
    )
    out = out.assign_coords(coordinates.coords)
    out = out.assign({name: (_BY_LABEL, make(out)) for name, make in _OVER_ALL.items()})
    warn_of_failures(out, "stability")
    return out
