"""Write docs/recipes.md and its picture: how each recipe did on the shipped populations.

Every network of `stores/turner2021.zarr` says how many inits it took (`attempts`) and how many
gradient steps the last of them (`gradient_steps`); all but the last failed.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from solspace import networks
from solspace.population import network_weights
from solspace.population.describe import recipe_of
from solspace.tasks import get_task
from solspace.tasks.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "stores" / "turner2021.zarr"
OTHER = ROOT / "stores" / "high_rate.zarr"  # the same populations by another recipe
NOISY = ROOT / "stores" / "context_integration.zarr"  # of a task whose trials are noisy
PICTURE = ROOT / "docs" / "images" / "recipes.png"
SIZES = (20, 30, 40, 50)

# Why each recipe is as it is. Numbers of single trials are from before the populations.
REASONS = {
    "interval_reproduction/vanilla": """\
Starts as the published networks did, from torch's default. Two things make it converge: gradients
are clipped at a norm of 0.03 (without clipping no network of 50 units was trained, at 0.01 they
crawl), and a network whose loss jumps back to the plateau is put back to its best weights. The
loss leaves its plateau at 0.033 within 1,000 steps, comes down noisily, and passes 1e-4 as the
learning rate falls. At 20 units 29 of 129 inits failed. Rolling back at twice or three times
the best loss instead of four gave 16 of 24 and 40 of 48 inits of 20 units (19 of 24 as it is),
which is no difference that such numbers can show.""",
    "interval_reproduction/gru": """\
Starts as the published gated networks did, from torch's default divided by sqrt(N), and is trained
at the published rate, 0.001, until it has the target: the rate decides which solutions are found
([learning_rate.md](learning_rate.md)), and networks change their solution down to the last loss, so
there is no loss after which a faster schedule changes nothing. Clipping at 0.1 is ours. A network
that has missed the target in 20,000 steps at 0.001 goes on at a rate that falls from there to 0,
for 12,000 more.""",
    "interval_reproduction/lstm": """\
The recipe of the GRUs above, for the same reason: of 8 LSTMs 7 ended with another graph where the
rate was raised to 0.003 at a loss of 2e-3 ([learning_rate.md](learning_rate.md)).""",
    "interval_discrimination/vanilla": """\
From torch's default no network leaves the plateau at 0.022. Two things together do it: a recurrent
matrix that is orthogonal at the start, and a curriculum: only pairs of intervals that differ by 8
steps or more, until their loss is under 2e-3. The target is 5e-5, where the published networks end
(1e-5 to 1.7e-4), instead of the 2e-4 at which the authors accepted them; of 12 inits a size
10, 12, 12, 12 reach 2e-4 (median 8,450, 4,100, 3,050, 2,900 steps), 9, 11, 12, 12 reach 5e-5, and
of 20 units only 5 reach 2e-5. The orthogonal start is ours, how the authors started is not known:
what they published as initial weights are trained ones.""",
    "delayed_discrimination/vanilla": """\
An orthogonal recurrent matrix, and a learning rate that falls with N. The target is 5e-5, where the
published networks end (1e-5 to 8e-5), instead of 2e-4; of 12 inits a size 8, 11, 12, 12 reach 2e-4
(median 4,700, 2,950, 2,100, 1,950 steps), 7, 11, 12, 12 reach 5e-5, and of 20 units 5
reach 2e-5.""",
    "context_integration/leaky": """\
Trials are noisy, so each is seen once: a new 512 are drawn whenever the last have been seen, and
the loss is that of 512 others. The state has noise of its own while the network learns
(`recurrent_noise`), as in the code of Dubreuil, Valente and others, whose state is the current
into the nonlinearity. At a loss of 0.02 some 99 % of fresh trials are answered rightly in each
context; a network blind to the context has 0.5.""",
}

HEAD = """\
# Recipes

Written by `python -m docs.make_recipes` from `stores/turner2021.zarr` and
`stores/context_integration.zarr`. A recipe is data in the
task's file (`solspace.tasks.Recipe`) and is stored with the population it made, in its attrs,
since which solutions are found depends on it.

All recipes have in common: Adam; batches of 32 trials, shuffled anew each epoch; the loss is looked
at every 50 steps over the whole training set; a network is done at the first look that finds it
under the target; one that misses it starts again from a fresh init, a few times.

The training set of interval reproduction is 128 trials, drawn for each network from the 31
intervals. *Trained* means under the target on these. Over all 31 intervals, each once,
$MISSED.
In the two discrimination tasks the training set is all trials.

![Share of inits that have reached the target, by gradient steps](images/recipes.png)

*Share of all inits that have reached the target after so many gradient steps, by hidden size.*
"""


FURTHER = """\
## Architectures without a shipped population

Recipes of interval reproduction that were tried on a few inits only, so their shares are rough.
All have a target of 1e-4 and four attempts a network.

| architecture | init, first rate, clip, steps | inits that reach it, by hidden size | steps |
|---|---|---|---|
| relu | orthogonal, 0.0135 / sqrt(N), 0.03, 12,000 | 20: 2 of 3; 40: 3 of 3 | 5,100 to 8,450 |
| leaky, alpha 0.2 | default, 0.06 / sqrt(N), 0.1, 20,000 \
| 20, 30, 40: 3 of 3 each; 50: 2 of 2 | 3,700 to 9,200 |
| leaky_rate, alpha 0.2 | orthogonal, 0.03 / sqrt(N), 0.1, 20,000 \
| 20: 2 of 3; 30, 40: 3 of 3; 50: 2 of 2 | 7,050 to 14,800 |

Small ReLU networks are the hard ones. With 20,000 steps, so that the rate falls later, none of 3 of
20 units got there and 6 of 8 of 30 to 50 units did (other seeds); of 7 runs of 20 units with larger
rates or clips 1 did. The rate of the vanilla recipe is too small for leaky networks: 1 of 2 of
30 units got there with a clip of 0.1, and none of 6 in 12,000 steps with 0.03.

Recipes of context_integration, target 0.02, of 5 inits each of 20, 30, 40 and 50 units: vanilla,
relu, leaky_rate, GRU and LSTM networks reach it in 20 of 20. Those without leak take a rate of
0.01 / sqrt(N) and a clip of 0.1, relu an orthogonal init; larger steps lose what has been learnt.
Of context_integral, target 0.01, leaky networks reach it in 7 of 8 first inits, GRUs and LSTMs in 4
of 4 each.
"""


def inits(ds: xr.Dataset, size: int) -> tuple[int, np.ndarray]:
    """How many inits of a size were begun, and the steps of those that reached the target."""
    of_size = ds.hidden_size.values == size
    trained = of_size & (ds.status_train.values == 1)
    return int(ds.attempts.values[of_size].sum()), np.sort(ds.gradient_steps.values[trained])


def table(ds: xr.Dataset) -> list[str]:
    lines = [
        "| hidden size | inits that reach it | share | median steps | 90 % within | trained |",
        "|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        begun, steps = inits(ds, size)
        of_size = int((ds.hidden_size == size).sum())
        lines.append(
            f"| {size} | {len(steps)} of {begun} | {len(steps) / begun:.0%} "
            f"| {int(np.median(steps)):,} | {int(np.quantile(steps, 0.9)):,} "
            f"| {len(steps)} of {of_size} |"
        )
    return lines


def by_other_recipe(name: str, ds: xr.Dataset) -> list[str]:
    """How many steps the population of another recipe took; nothing where there is none."""
    task, architecture = name.split("/")
    if not (OTHER / task / architecture).exists():
        return []
    other = xr.open_zarr(OTHER, group=name)
    steps = [", ".join(f"{np.median(inits(one, n)[1]):,.0f}" for n in SIZES) for one in (other, ds)]
    return [
        f"`stores/{OTHER.name}` has {other.sizes['network']} that were trained by an earlier "
        f"recipe, at a rate of {recipe_of(other).learning_rate:g}: median steps {steps[0]} by "
        f"hidden size, where these took {steps[1]}. They are other solutions.",
        "",
    ]


def numbers(recipe: Recipe) -> str:
    """What differs from the defaults of a recipe."""
    defaults = {f.name: f.default for f in dataclasses.fields(Recipe)}
    return ", ".join(
        f"`{name}` {value:g}" if isinstance(value, float) else f"`{name}` {value}"
        for name, value in dataclasses.asdict(recipe).items()
        if value != defaults[name]
    )


def picture(populations: dict[str, xr.Dataset]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from solspace.plots.style import BLUE, INK, ORANGE, RC, TARGET

    colors = dict(zip(SIZES, (ORANGE, TARGET, BLUE, INK), strict=True))
    styles = dict(zip(SIZES, ("-", "--", "-.", ":"), strict=True))
    with matplotlib.rc_context(RC | {"font.size": 7}):
        figure, panels = plt.subplots(
            1, len(populations), figsize=(7.2, 1.6), sharey=True, layout="constrained"
        )
        for axes, (name, ds) in zip(panels, populations.items(), strict=True):
            most = recipe_of(ds).hold_steps + recipe_of(ds).max_steps
            for size in SIZES:
                begun, steps = inits(ds, size)
                share = np.arange(len(steps) + 1) / begun
                axes.step(
                    np.append(np.insert(steps, 0, 0), most) / 1000,
                    np.append(share, share[-1]),
                    where="post",
                    color=colors[size],
                    linestyle=styles[size],
                    linewidth=1.0,
                    label=f"{size} units",
                )
            task, architecture = name.split("/")
            axes.set_title(f"{task.replace('_', chr(10))}, {architecture}", fontsize=7)
            axes.set(xlim=(0, most / 1000), ylim=(0, 1.02))
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        panels[0].set_ylabel("share of inits trained")
        panels[len(panels) // 2].set_xlabel("gradient steps (thousands)")
        panels[-1].legend(frameon=False, fontsize=6, loc="lower right", handlelength=2.2)
        PICTURE.parent.mkdir(exist_ok=True)
        figure.savefig(PICTURE, dpi=200, bbox_inches="tight", pad_inches=0.03)
        plt.close(figure)


def missed(populations: dict[str, xr.Dataset]) -> str:
    """How many networks are over their target on all recorded trials, each once."""
    task = get_task("interval_reproduction")
    trials = task.recorded_trials()
    parts, worst, off = [], 0.0, 0.0
    for name, ds in populations.items():
        if not name.startswith(task.name):
            continue
        architecture = name.split("/")[1]
        losses, late = [], []
        for i in range(ds.sizes["network"]):
            _, output = networks.run(architecture, network_weights(ds, i), trials.input)
            losses.append(np.mean((output - trials.target) ** 2))
            late.append(np.abs(go_step(output) - go_step(trials.target)).max())
        count = int(np.sum(np.array(losses) >= recipe_of(ds).target_loss))
        worst, off = max(worst, max(losses)), max(off, float(max(late)))
        title = networks.get_architecture(architecture).title
        parts.append(f"{count} of {len(losses)} {title}")
    return (
        f"{', '.join(parts[:-1])} and {parts[-1]} networks miss it;\nthe worst loss is {worst:.1e},"
        f" and the middle of Go is at most {off:.1f} steps from\nwhere it is asked for"
    )


def go_step(output: np.ndarray) -> np.ndarray:
    """Middle of the steps at which the first output is over half of Go, of each trial."""
    over = output[..., 0] > 0.5
    steps = np.arange(over.shape[1])
    return np.sum(over * steps, axis=1) / np.maximum(over.sum(axis=1), 1)


def page(populations: dict[str, xr.Dataset]) -> str:
    lines = [HEAD.replace("$MISSED", missed(populations))]
    for name, ds in populations.items():
        recipe = recipe_of(ds)
        lines += [f"## {name}", "", f"Target: a loss of {recipe.target_loss:g}. {REASONS[name]}"]
        lines += ["", *table(ds), "", f"Apart from the defaults: {numbers(recipe)}.", ""]
        lines += by_other_recipe(name, ds)
        task, architecture = name.split("/")
        now = get_task(task).recipe(architecture)
        if now != recipe:
            lines += [
                "This population is of an earlier recipe. What the task has now, apart from the "
                f"defaults: {numbers(now)}.",
                "",
            ]
    return "\n".join([*lines, FURTHER])


def main() -> int:
    if missing := [path.name for path in (STORE, NOISY) if not path.exists()]:
        print(f"needs stores/{missing[0]}", file=sys.stderr)
        return 2
    populations: dict[str, Any] = {
        name: xr.open_zarr(NOISY if name.startswith(NOISY.stem) else STORE, group=name).load()
        for name in REASONS
    }
    picture(populations)
    (ROOT / "docs" / "recipes.md").write_text(page(populations))
    return 0


if __name__ == "__main__":
    sys.exit(main())
