"""Adam and AdamW by torch's fused kernel.

Adam: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015. AdamW: Loshchilov and Hutter, "Decoupled
weight decay regularization", ICLR 2019.

`torch.optim.Adam` itself loads torch's compiler when it is made: some 75 MB and a second or two that a training does
not use. The arithmetic is torch's; what is kept here is the moments and the number of steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

_MOMENTS = ("exp_avg", "exp_avg_sq")


class Adam:
    """Steps of Adam, or with `decoupled` of AdamW; eps is 1e-8.

    lr: the learning rate; a schedule may change it between steps.
    betas: how much of its past each moment keeps, each in [0, 1).
    weight_decay: times a parameter, and added to its gradient (L2); times `lr` and a parameter, and taken from the
    parameter itself, where `decoupled`.

    A parameter without a gradient is left as it is, and its state too; a sparse gradient means that of its other rows
    is zero, and the step is the same. Raises ValueError for a number out of its range.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        if lr < 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Adam cannot step with lr {lr}, betas {betas}, weight_decay {weight_decay}")
        self.parameters = list(parameters)
        self.lr = lr
        self.betas = betas
        self.weight_decay = weight_decay
        self.decoupled = decoupled
        self._state: dict[int, dict[str, Tensor]] = {}
        self._filled: dict[int, Tensor] = {}

    def zero_grad(self) -> None:
        """Let go of all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        moved = [(index, table) for index, table in enumerate(self.parameters) if table.grad is not None]
        states = [self._state_of(index, table) for index, table in moved]
        if self.decoupled and self.weight_decay:
            for _, table in moved:
                table.mul_(1 - self.lr * self.weight_decay)
        adam(
            [table for _, table in moved],
            [self._gradient_of(index, table) for index, table in moved],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.lr,
            weight_decay=0.0 if self.decoupled else self.weight_decay,
            eps=1e-8,
            maximize=False,
        )
        for index, table in moved:
            if table.grad is not None and table.grad.is_sparse:
                self._filled[index].index_fill_(0, table.grad._indices()[0], 0.0)

    def _gradient_of(self, index: int, table: nn.Parameter) -> Tensor:
        """The dense gradient. A sparse one is filled into a table of zeros that stays.

        Where few rows of a large table have a gradient, that saves making and clearing such a table at each step.
        """
        assert table.grad is not None
        if not table.grad.is_sparse:
            return table.grad
        if index not in self._filled:
            self._filled[index] = torch.zeros_like(table)
        return self._filled[index].index_add_(0, table.grad._indices()[0], table.grad._values())

    def _state_of(self, index: int, table: nn.Parameter) -> dict[str, Tensor]:
        if index not in self._state:
            step = torch.zeros((), dtype=torch.float32, device=table.device)
            self._state[index] = {"step": step, **{name: torch.zeros_like(table) for name in _MOMENTS}}
        return self._state[index]

    def tensors(self) -> dict[str, Tensor]:
        """The state, `<parameter index>/<step, exp_avg or exp_avg_sq>`; nothing before the first step."""
        return {f"{index}/{name}": value for index, state in self._state.items() for name, value in state.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave, on each parameter's device."""
        self._state = {}
        for key, value in tensors.items():
            index, name = key.split("/")
            self._state.setdefault(int(index), {})[name] = value.to(self.parameters[int(index)].device)
