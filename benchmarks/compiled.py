"""What torch.compile would give: the kernel of L_AU, the longest chain of elementwise operations, and it compiled.

    python -m benchmarks.compiled
    python -m benchmarks.compiled --items 23033

One chunk of 64 users, of which a training step with the default anchors has two; compiled, the chain is fused and needs
no buffers. Both sides begin with a copy of the scores, which ours overwrites. The table shows the time of one call; the
line below it what compiling took. Needs a C++ compiler.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.measuring import alternating, arguments, chosen, compared, report, timed, write_json
from damrs_dgl.losses.user_preference import _softmax_kernel

USERS = 64
CALLS = 20


def kernel(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row losses of the scores a, b [n, I] and their gradients, as a compiler likes it: nothing overwritten."""
    p, q, gap = torch.softmax(a, dim=1), torch.softmax(b, dim=1), a - b
    difference = p - q
    loss = (difference * gap).sum(dim=1, keepdim=True)
    rest = gap - (p * gap).sum(dim=1, keepdim=True)
    return loss, difference + p * rest, -difference - q * (rest + loss)


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--items", type=int, default=6710, help="[%(default)s]")
    options = chosen(parser)
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(USERS, options.items, generator=random) for _ in range(2))
    buffers = [torch.empty_like(a) for _ in range(4)]

    def shipped() -> None:
        for _ in range(CALLS):
            _softmax_kernel(buffers[0].copy_(a), buffers[1].copy_(b), buffers[2], buffers[3], True)

    started = time.perf_counter()
    fused = torch.compile(kernel)
    _, a_grad, b_grad = fused(a, b)
    compiling = time.perf_counter() - started
    shipped()
    torch.testing.assert_close(buffers[2], a_grad, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(-buffers[3], b_grad, rtol=1e-4, atol=1e-7)

    def compiled() -> None:
        for _ in range(CALLS):
            fused(buffers[0].copy_(a), buffers[1].copy_(b))

    sides = {"as it is": timed(shipped), "compiled": timed(compiled)}
    seconds = {
        name: [value / CALLS for value in values] for name, values in alternating(sides, options.repeats).items()
    }
    results = compared(seconds, slow="as it is")
    report(f"L_AU of {USERS} users over {options.items:,} items, loss and gradients", results)
    print(f"compiling took {compiling:.0f} s")
    path = options.json or Path("runs/compiled.json")
    write_json(path, {"items": options.items, "compiling_seconds": compiling, "results": results})


if __name__ == "__main__":
    main()
