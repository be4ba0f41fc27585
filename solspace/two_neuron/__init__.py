"""The two-neuron network of Turner, Dabholkar & Barak (NeurIPS 2021), Figure 1.

dx/dt = -x + W tanh(x) with four weights: small enough to see the whole space of solutions.

============== ==================================================================
module         holds
============== ==================================================================
``dynamics``   the ODE for many networks at once: states, loss, gradients
``training``   Adam on a batch of networks
``objects``    all fixed points and limit cycles of a network, and where it ends
``stage``      the same for a population Dataset: `train_planar`, `reduce_planar`
``plane``      a plane through weights: loss, and bifurcations followed on it
``linear``     the solutions of the linear network, in closed form
``prediction`` which initial weights lead to which kind of solution
============== ==================================================================
"""

from __future__ import annotations
