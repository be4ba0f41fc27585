"""What is done to a network to see whether it keeps its label."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError

__all__ = ["PROCESSOR", "perturbation_names", "with_noise"]

PROCESSOR = "processor"


def perturbation_names(
    noise: Sequence[float], further_steps: int, processor: bool
) -> tuple[str, ...]:
    """Names along the dim ``perturbation``.

    Raises
    ------
    SolspaceError
        For a noise that is not over 0 or given twice, a negative number of steps, or nothing at
        all.

    Examples
    --------
    >>> perturbation_names([1e-5, 2.5e-4], 400, True)
    ('noise_1e-5', 'noise_2.5e-4', 'training_400', 'processor')
    """
    if wrong := [s for s in noise if not 0 < s < np.inf]:
        raise SolspaceError(
            f"noise {wrong[0]:g}; give relative sizes over 0, such as 0.001, or none at all"
        )
    if further_steps < 0:
        raise SolspaceError(f"{further_steps} further steps; give 0 or more (0: leave them out)")
    names = [f"noise_{np.format_float_scientific(s, trim='-', exp_digits=1)}" for s in noise]
    if twice := [n for n in names if names.count(n) > 1]:
        raise SolspaceError(f"{twice[0]} is given twice; give each noise once")
    names += [f"training_{further_steps}"] if further_steps else []
    names += [PROCESSOR] if processor else []
    if not names:
        raise SolspaceError(
            "nothing to try on a network; give noise, such as 0.001, further steps, or processor"
        )
    return tuple(names)


def with_noise(
    weights: Mapping[str, NDArray[Any]],
    noise: float,
    rng: np.random.Generator,
    *,
    fixed: Collection[str] = (),
) -> dict[str, NDArray[Any]]:
    """Every weight ``w`` of a network made ``w (1 + noise z)``, with ``z`` standard normal.

    Parameters
    ----------
    weights : mapping of str to array
        One network's parameters; weights, biases and readout alike.
    noise : float
        Relative size, such as 1e-3.
    rng : Generator
        From generators of one seed come the same ``z``, whatever the noise: a larger noise goes
        further in the same direction.
    fixed : collection of str
        Parameters that are no weights, such as given ones; they stay as they are.

    Returns
    -------
    dict of str to array
        Of the dtype of ``weights``, float32 as a network is stored.

    Examples
    --------
    >>> weights = {"weight_hh": np.ones((1, 2, 2), np.float32), "alpha": np.array(0.2)}
    >>> noisy = with_noise(weights, 1e-3, np.random.default_rng(0), fixed=["alpha"])
    >>> bool(0 < abs(noisy["weight_hh"] - 1).max() < 0.01), noisy["alpha"].item()
    (True, 0.2)
    """
    out = {}
    for name in sorted(weights):
        values = np.asarray(weights[name])
        if name not in fixed:
            z = rng.standard_normal(values.shape)
            values = (values * (1 + noise * z)).astype(values.dtype)
        out[name] = values
    return {name: out[name] for name in weights}
