"""How networks are trained on a task, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from solspace.errors import SolspaceError

__all__ = [
    "Recipe",
    "change_recipe",
]


@dataclass(frozen=True)
class Recipe:
    """How networks of one architecture are trained on a task: data, not code.

    Which solutions a population holds depends on these numbers, so they are stored with it.

    Attributes
    ----------
    target_loss : float
        A network is trained when its mean squared error over the whole training set is below.
    max_steps : int
        Gradient steps of one attempt.
    learning_rate : float
        ``lr = learning_rate * hidden_size ** learning_rate_power`` at the start.
    learning_rate_power : float
    schedule : {"linear", "cosine"}
        How the rate falls from ``decay_start`` to ``decay_stop`` (shares of ``max_steps``) to
        ``final_rate`` (a share of the first rate); it is held before and after.
    decay_start, decay_stop, final_rate : float
    beta1, beta2 : float
        Adam's moments.
    clip : float
        Largest Euclidean norm of the gradient.
    batch_size : int
    init : {"default", "default/sqrt(N)", "orthogonal", "normal"}
        ``default`` is torch's, uniform within 1/sqrt(N); ``orthogonal`` and ``normal`` change the
        recurrent weights of that only, see `solspace.training.initial_weights`.
    init_gain : float
        The recurrent weights are multiplied by this before training. With 1 those of
        ``orthogonal`` and ``normal`` have a spectral radius of 1.
    hold_rate, hold_loss, hold_steps : float, float, int
        An attempt may begin at a learning rate of its own: ``hold_rate``, the same for every
        hidden size, until the loss over the whole training set is under ``hold_loss``, for
        ``hold_steps`` at most; a ``hold_loss`` of 0 is the target. Then follows the schedule
        above, whose ``max_steps`` count from there, with Adam's moments kept. The rate decides
        which solutions are found. 0 steps turns this off.
    check_every : int
        Gradient steps between two looks at the loss of the whole training set.
    rollback_ratio, rollback_floor, rollback_armed : float
        A check that finds the loss over ``rollback_ratio`` times the best and over
        ``rollback_floor`` returns to the best weights and moments, once the best was under
        ``rollback_armed``.
    rollback_rate : float
        The learning rate is multiplied by this at each rollback.
    attempts : int
        How many fresh inits a network gets before it is stored as failed.
    plateau_steps, plateau_loss : int, float
        An attempt whose best loss is still over ``plateau_loss`` after ``plateau_steps`` is
        given up; 0 steps turns this off.
    curriculum_steps, curriculum_loss : int, float
        An attempt may begin with a curriculum: easy trials only, at the first learning rate, until
        their loss is under ``curriculum_loss``. One that needs more steps is given up; 0 steps
        means no curriculum.
    curriculum_first, curriculum_second, curriculum_gap : str, str, float
        Easy are the trials whose parameters of these two names differ by ``curriculum_gap`` or
        more.
    recurrent_noise : float
        Standard deviation of normal noise that is added to the state of every unit at every step
        of the forward run while the network learns; of leaky networks only. Losses, and all that
        is recorded afterwards, are without.
    """

    target_loss: float
    max_steps: int
    learning_rate: float
    learning_rate_power: float = -0.5
    schedule: str = "linear"
    decay_start: float = 0.4
    decay_stop: float = 1.0
    final_rate: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.99
    clip: float = 0.03
    batch_size: int = 32
    init: str = "default"
    init_gain: float = 1.0
    hold_rate: float = 0.0
    hold_loss: float = 0.0
    hold_steps: int = 0
    check_every: int = 50
    rollback_ratio: float = 4.0
    rollback_floor: float = 0.02
    rollback_armed: float = 0.01
    rollback_rate: float = 1.0
    attempts: int = 4
    plateau_steps: int = 0
    plateau_loss: float = np.inf
    curriculum_steps: int = 0
    curriculum_loss: float = 0.0
    curriculum_first: str = ""
    curriculum_second: str = ""
    curriculum_gap: float = 0.0
    recurrent_noise: float = 0.0


def change_recipe(recipe: Recipe, changes: Iterable[str]) -> Recipe:
    """A recipe with some numbers changed, as they are typed.

    Parameters
    ----------
    recipe : Recipe
    changes : iterable of str
        Such as ``learning_rate=0.003``.

    Raises
    ------
    SolspaceError
        For a name that a recipe does not have, or a value that is not of its kind.

    Examples
    --------
    >>> recipe = Recipe(target_loss=1e-4, max_steps=5000, learning_rate=0.01)
    >>> change_recipe(recipe, ["learning_rate=0.003", "init=orthogonal"]).learning_rate
    0.003
    """
    kinds = {field.name: type(getattr(recipe, field.name)) for field in dataclasses.fields(Recipe)}
    out = {}
    for change in changes:
        name, equals, text = change.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in kinds:
            raise SolspaceError(
                f"{change!r} changes nothing of a recipe; give NAME=VALUE, names: "
                f"{', '.join(kinds)}"
            )
        try:
            out[name] = kinds[name](text)
        except ValueError:
            kind = {int: "a whole number", float: "a number"}[kinds[name]]
            raise SolspaceError(
                f"{change!r}: {text!r} is not {kind}; give one, such as "
                f"{name}={getattr(recipe, name)}"
            ) from None
    return dataclasses.replace(recipe, **out)
