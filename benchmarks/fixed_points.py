"""What the fixed points of one network cost: `python benchmarks/fixed_points.py [--quick]`.

The flip-flops of FixedPointFinder (Golub & Sussillo 2018), 16 units and 1,024 starts, from
shared/oracles beside the checkout; without that folder a random vanilla network. The baseline is
FixedPointFinder's method: it is not on PyPI, so its algorithm is written here in torch, with the
numbers of its torch port: all starts together in float32, Adam on the mean of q with a learning
rate of 0.05 that falls to 0.7 of it every 500 steps, until each start has q < 1e-12 or a change of
q < 1e-20, 5,000 steps at most; points are one where no number differs by 1e-3; Jacobians and
eigenvalues of what is left. Both take the same starts, one thread, in processor seconds; ours is
the least of five runs. Points are true that the other search in float64 confirms.

``--quick`` takes the tanh network alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from solspace.fixed_points import cell_of, fixed_points
from solspace.fixed_points.newton import follow
from solspace.networks import parameter_shapes

ORACLES = Path(__file__).resolve().parents[1].parent / "shared" / "oracles"
UNITS, STARTS = 16, 1024
UNIQUE = 1e-3


def network(name: str) -> tuple[str, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Architecture, weights, starts and the states that were seen."""
    architecture = {"tanh": "vanilla", "gru": "gru"}[name]
    shapes = parameter_shapes(architecture, UNITS, inputs=3, outputs=3)
    path = ORACLES / f"fpf_flipflop_{name}.npz"
    if not path.exists():
        rng = np.random.default_rng(0)
        random = {n: rng.normal(0, 1.5 / np.sqrt(UNITS), s) for n, s in shapes.items()}
        starts = rng.uniform(-1, 1, (STARTS, UNITS))
        return architecture, random, starts, starts
    stored = np.load(path)
    keys = {f"{w}_{g}": f"w_rnn.{w}_{g}_l0" for w in ("weight", "bias") for g in ("ih", "hh")}
    keys |= {"weight_out": "w_readout.weight", "bias_out": "w_readout.bias"}
    weights = {n: stored[keys[n]].reshape(s).astype(float) for n, s in shapes.items()}
    return architecture, weights, stored["float32_x0"], stored["hidden"].reshape(-1, UNITS)


def by_gradient(
    architecture: str, weights: dict[str, np.ndarray], starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """FixedPointFinder's points, the eigenvalues of their Jacobians, and the steps it took."""
    layer = {"vanilla": torch.nn.RNN, "gru": torch.nn.GRU}[architecture](3, UNITS, batch_first=True)
    own = {f"{n}_l0": weights[n].reshape(-1, *weights[n].shape[2:])
           for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}  # fmt: skip
    layer.load_state_dict({n: torch.tensor(v, dtype=torch.float32) for n, v in own.items()})
    for parameter in layer.parameters():
        parameter.requires_grad = False
    silence = torch.zeros(len(starts), 1, 3)
    x = torch.tensor(starts, dtype=torch.float32)[None].requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.05)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=500, gamma=0.7)
    before = torch.full((len(starts),), float("nan"))
    for taken in range(1, 5001):
        optimizer.zero_grad()
        _, after = layer(silence, x)
        q = 0.5 * torch.square(x - after).sum(dim=2)[0]
        change = (q.detach() - before).abs()
        q.mean().backward()
        optimizer.step()
        schedule.step()
        if taken > 1 and bool(((change < 1e-20) | (q.detach() < 1e-12)).all()):
            break
        before = q.detach()
    ended = x.detach()[0].numpy()
    centre = starts.mean(axis=0)
    far = np.linalg.norm(starts - centre, axis=1).mean()
    ended = ended[np.linalg.norm(ended - centre, axis=1) < 10 * far]
    kept: list[int] = []
    for i in np.argsort(q.detach().numpy()[: len(ended)], kind="stable").tolist():
        if not kept or np.abs(ended[kept] - ended[i]).max(axis=1).min() >= UNIQUE:
            kept.append(i)
    points = torch.tensor(ended[kept])

    def step(rows: torch.Tensor) -> torch.Tensor:
        return layer(silence[: len(rows)], rows[None])[1][0].sum(dim=0)

    jacobians = torch.autograd.functional.jacobian(step, points).permute(1, 0, 2)
    return points.numpy(), np.linalg.eigvals(jacobians.numpy()), taken


def true(architecture: str, weights: dict[str, np.ndarray], points: np.ndarray) -> int:
    """How many of these a search in float64 leaves where they are, each counted once."""
    ended, ends, _, _ = follow(cell_of(architecture, weights), points.astype(float))
    stays = (ends == 0) & (np.abs(ended - points).max(axis=1) < UNIQUE)
    return len(np.unique(np.round(ended[stays], 4), axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the tanh network alone")
    names = ("tanh",) if parser.parse_args().quick else ("tanh", "gru")
    torch.set_num_threads(1)
    print(f"{'network':9}{'method':20}{'s':>9}{'points':>9}{'true':>7}  by unstable directions")
    with threadpool_limits(limits=1):
        for name in names:
            architecture, weights, starts, seen = network(name)
            box = np.array([seen.min(axis=0), seen.max(axis=0)])
            fixed_points(architecture, weights, starts[:8], box=box)  # compile
            spent = []
            for _ in range(5):
                begun = time.process_time()
                found = fixed_points(architecture, weights, starts, box=box)
                spent.append(time.process_time() - begun)
            begun = time.process_time()
            points, values, taken = by_gradient(architecture, weights, starts)
            theirs = time.process_time() - begun
            fixed = found.kind < 2
            rows = (
                ("FixedPointFinder's", theirs, points, (np.abs(values) > 1).sum(axis=1)),
                ("ours", min(spent), found.states[fixed], found.unstable[fixed]),
            )
            for method, seconds, own, unstable in rows:
                split = np.bincount(unstable).tolist()
                confirmed = true(architecture, weights, own)
                print(f"{name:9}{method:20}{seconds:9.3f}{len(own):9}{confirmed:7}  {split}")
            print(
                f"{'':9}{theirs / min(spent):.1f} times faster; {taken} steps of Adam; "
                f"{found.converged:.1%} of starts came to a point, {(~fixed).sum()} slow points"
            )


if __name__ == "__main__":
    main()
