"""How networks are trained on a task, as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "Recipe",
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
    init : {"default", "default/sqrt(N)", "orthogonal"}
        ``default`` is torch's, uniform within 1/sqrt(N); ``orthogonal`` changes the recurrent
        weights of that only.
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
    lesson_steps, lesson_loss : int, float
        An attempt may begin with a lesson: easy trials only, at the first learning rate, until
        their loss is under ``lesson_loss``. One that needs more steps is given up; 0 steps
        means no lesson.
    lesson_first, lesson_second, lesson_gap : str, str, float
        Easy are the trials whose parameters of these two names differ by ``lesson_gap`` or more.
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
    check_every: int = 50
    rollback_ratio: float = 4.0
    rollback_floor: float = 0.02
    rollback_armed: float = 0.01
    rollback_rate: float = 1.0
    attempts: int = 4
    plateau_steps: int = 0
    plateau_loss: float = np.inf
    lesson_steps: int = 0
    lesson_loss: float = 0.0
    lesson_first: str = ""
    lesson_second: str = ""
    lesson_gap: float = 0.0
