"""Training: a fixed number of steps from a seed, the state saved now and then."""

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the usual name

from tinytrain.network import Network, Shape

WARM_UP_STEPS = 60
MATRIX_RATE = 0.02
TABLE_RATE = 4e-3
SAVE_EVERY = 200


def train(
    ids: np.ndarray,
    learned: np.ndarray,
    shape: Shape,
    *,
    steps: int,
    batch: int,
    length: int,
    seed: int,
    out: Path,
    begin: Path | None = None,
) -> Network:
    """A trained network; its state is in `out`/model.pt after every 200 steps and at the end.

    It begins with the weights in `begin`, or with chance.
    """
    torch.manual_seed(seed)
    network = Network(shape)
    if begin is not None:
        network.load_state_dict(torch.load(begin, weights_only=True))
    optimisers = _optimisers(network)
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    chance = np.random.default_rng(seed)
    start = time.monotonic()
    smooth = None
    for step in range(steps):
        factor = _rate_factor(step, steps)
        for optimiser, base in zip(optimisers, rates, strict=True):
            for group, rate in zip(optimiser.param_groups, base, strict=True):
                group["lr"] = rate * factor
        loss = _loss(network, ids, learned, chance.integers(0, len(ids) - length - 1, size=batch), length)
        network.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        smooth = loss.item() if smooth is None else 0.98 * smooth + 0.02 * loss.item()
        if (step + 1) % 20 == 0:
            spent = time.monotonic() - start
            rate = (step + 1) * batch * length / spent
            print(f"step {step + 1}/{steps} loss {smooth:.3f} {rate:.0f} tokens/s {spent:.0f} s", flush=True)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            save(network, out)
    return network


def save(network: Network, out: Path) -> None:
    """Write the weights under another name first, so that a state is never half there."""
    torch.save(network.state_dict(), out / "model.part")
    (out / "model.part").replace(out / "model.pt")


def _optimisers(network: Network) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices between layers, AdamW for the embedding and the norms."""
    matrices = [weight for name, weight in network.blk.named_parameters() if weight.dim() == 2]
    others = [weight for weight in network.parameters() if all(weight is not matrix for matrix in matrices)]
    return (
        torch.optim.Muon(matrices, lr=MATRIX_RATE, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=TABLE_RATE, betas=(0.9, 0.95), weight_decay=0.01),
    )


def _rate_factor(step: int, steps: int) -> float:
    """Up in `WARM_UP_STEPS`, then down to nothing along a cosine."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _loss(
    network: Network, ids: np.ndarray, learned: np.ndarray, starts: np.ndarray, length: int
) -> torch.Tensor:
    """Mean loss over the tokens that have to be learned in the windows at `starts`."""
    windows = torch.from_numpy(np.stack([ids[at : at + length + 1] for at in starts])).long()
    counts = torch.from_numpy(np.stack([learned[at + 1 : at + length + 1] for at in starts]))
    targets = torch.where(counts, windows[:, 1:], -100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(windows[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)
