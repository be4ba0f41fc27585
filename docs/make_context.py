"""Write the table of challenges in docs/context_integration.md and draw the page's pictures.

python -m docs.make_context STORE [PICTURE ...]

STORE is one that `solspace train STORE --task context_integration --networks 400 --hidden-size 20
30 40 50` and `solspace challenge STORE` made. Each function in `PARTS` makes one picture or table;
with names, only these are made.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import solspace
from docs.pages import write_part
from solspace.challenging.stage import challenge_family
from solspace.plots import plot_challenges, plot_kernel, plot_psychometric, save
from solspace.store import Population, Store
from solspace.tasks import get_task

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "context_integration.md"
IMAGES = ROOT / "docs" / "images"
TASK = "context_integration"
OTHER_SEED = 1  # of the noise, beside that of the store


def psychometric(population: Population) -> None:
    """Choices of all networks against the coherence of each stream."""
    curves = solspace.psychometric_curves(population.open())
    save(plot_psychometric(curves), IMAGES / "psychometric", formats=["png"], dpi=200)


def challenges(population: Population) -> None:
    """Every measure over the networks."""
    save(plot_challenges(population.open()), IMAGES / "challenges", formats=["png"], dpi=100)


def kernel(population: Population) -> None:
    """Psychophysical kernels of all networks."""
    save(plot_kernel(population.open("challenges")), IMAGES / "kernel", formats=["png"], dpi=110)


def reliabilities(population: Population) -> np.ndarray:
    """Correlation over networks of each measure with that from noise of another seed."""
    ds = population.open().load()
    again = solspace.challenge(ds, seed=OTHER_SEED)
    one, other = ds["challenge_value"].values, again["challenge_value"].values
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(one.T, other.T, strict=True)])


def measures(population: Population) -> None:
    """The table of measures: from the declaration, values over networks, reliability."""
    family = challenge_family(get_task(TASK))
    kinds = {one.name: one for one in family.challenges}
    reliable = reliabilities(population)
    values = population.open()["challenge_value"].values
    lines = [
        "| measure | median, 10 to 90 % | trials | reliability |",
        "|---" * 4 + "|",
    ]
    for k, one in enumerate(family.measures):
        given = [kinds[name] for name in one.challenges]
        middle, low, high = np.quantile(values[:, k], [0.5, 0.1, 0.9])
        noisy = any(any(challenge.noise) for challenge in given)
        lines.append(
            f"| `{one.name}`<br>{one.meaning}{'' if one.units == '1' else f' ({one.units})'} | "
            f"{middle:.2f}, {low:.2f} to {high:.2f} | {sum(c.repeats for c in given)} | "
            f"{format(reliable[k], '.2f') if noisy else 'no noise'} |"
        )
    write_part(PAGE, __file__, "\n".join(lines))


PARTS: dict[str, Callable[[Population], None]] = {
    part.__name__: part for part in (psychometric, challenges, kernel, measures)
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", metavar="STORE")
    parser.add_argument("parts", metavar="PICTURE", nargs="*", help=f"of {', '.join(PARTS)}")
    args = parser.parse_args()
    if unknown := [name for name in args.parts if name not in PARTS]:
        print(f"no part {unknown[0]!r}; parts: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    (population,) = Store(args.store).select(TASK, "leaky")
    for name in args.parts or PARTS:
        PARTS[name](population)
    return 0


if __name__ == "__main__":
    sys.exit(main())
