"""Selection networks: the fewest minima and maxima that yield wanted order statistics.

A network compares whole rows of pixels at once, never branches and moves no indices, which makes
it many times faster than sorting when K values per pixel are few and pixels are many. This module
knows rows, not images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Step(NamedTuple):
    """One operation on whole rows; slots below K are the inputs, the others are registers."""

    maximum: bool
    out: int
    first: int
    second: int


@dataclass(frozen=True)
class Network:
    """A fixed sequence of minima and maxima of rows.

    Attributes:
        n_inputs: K, the number of rows it reads; they are never written.
        n_registers: the number of scratch rows it needs.
        steps: the operations in order.
        outputs: the slot of each wanted order statistic.
    """

    n_inputs: int
    n_registers: int
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    def run(self, rows: Sequence[Tensor], registers: Sequence[Tensor]) -> list[Tensor]:
        """Return the wanted order statistics of ``rows``, as views of registers or inputs.

        Args:
            rows: K tensors of one shape.
            registers: ``n_registers`` scratch tensors of that shape and dtype.
        """
        slots = [*rows, *registers]
        for maximum, out, first, second in self.steps:
            operation = torch.maximum if maximum else torch.minimum
            operation(slots[first], slots[second], out=slots[out])
        return [slots[slot] for slot in self.outputs]


@lru_cache(maxsize=64)
def selection_network(n_inputs: int, ranks: tuple[int, ...]) -> Network:
    """Build a network for the 0-based ``ranks`` among ``n_inputs`` values.

    Groups of inputs are sorted and folded into the running smallest and largest few; the group
    size is the one that costs the fewest operations. Sorting and merging follow Batcher
    (odd-even merge; Knuth, The Art of Computer Programming 3, 5.3.4).

    Example:
        >>> network = selection_network(3, (1,))
        >>> registers = torch.empty(network.n_registers, 1).unbind()
        >>> network.run(torch.tensor([[5.0], [9.0], [7.0]]).unbind(), registers)
        [tensor([7.])]
    """
    sizes = [2**power for power in range(n_inputs.bit_length()) if 2**power < n_inputs]
    graphs = [_Graph.of_selection(n_inputs, ranks, size) for size in [*sizes, n_inputs]]
    return min(graphs, key=lambda graph: len(graph.nodes)).allocate()


class _Graph:
    """Minima and maxima as nodes, shared where equal; nodes below ``n_inputs`` are the inputs."""

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self.nodes: dict[int, tuple[bool, int, int]] = {}
        self.outputs: list[int] = []
        self._known: dict[tuple[bool, int, int], int] = {}

    @classmethod
    def of_selection(cls, n_inputs: int, ranks: tuple[int, ...], size: int) -> _Graph:
        graph = cls(n_inputs)
        n_smallest = 1 + max((rank for rank in ranks if 2 * rank < n_inputs), default=-1)
        n_largest = n_inputs - min((r for r in ranks if 2 * r >= n_inputs), default=n_inputs)

        # Sort a group, then keep only what can still be among the smallest or the largest
        smallest: list[int] = []
        largest: list[int] = []
        for start in range(0, n_inputs, size):
            group = graph.sort(list(range(start, min(start + size, n_inputs))))
            smallest = graph.merge(smallest, group[:n_smallest])[:n_smallest]
            largest = graph.merge(largest, group[-n_largest:] if n_largest else [])
            largest = largest[-n_largest:] if n_largest else []

        graph.outputs = [
            smallest[rank] if 2 * rank < n_inputs else largest[rank - n_inputs] for rank in ranks
        ]
        graph.prune()
        return graph

    def node(self, first: int, second: int, *, maximum: bool) -> int:
        key = (maximum, first, second)
        if key not in self._known:
            self._known[key] = self.n_inputs + len(self._known)
            self.nodes[self._known[key]] = key
        return self._known[key]

    def compare(self, first: int, second: int) -> list[int]:
        return [self.node(first, second, maximum=maximum) for maximum in (False, True)]

    def sort(self, values: list[int]) -> list[int]:
        if len(values) == 1:
            return values
        half = (len(values) + 1) // 2
        return self.merge(self.sort(values[:half]), self.sort(values[half:]))

    def merge(self, first: list[int], second: list[int]) -> list[int]:
        if not first or not second:
            return first or second
        if len(first) == len(second) == 1:
            return self.compare(first[0], second[0])
        # Merge what stands at even and at odd places, then mend neighbours
        even = self.merge(first[::2], second[::2])
        odd = self.merge(first[1::2], second[1::2])
        paired = min(len(odd), len(even) - 1)
        mended = [
            value
            for pair in zip(odd[:paired], even[1 : paired + 1], strict=True)
            for value in self.compare(*pair)
        ]
        return [even[0], *mended, *odd[paired:], *even[paired + 1 :]]

    def prune(self) -> None:
        """Drop every node that no output depends on."""
        needed = set(self.outputs)
        for node in reversed(self.nodes):
            if node in needed:
                needed.update(self.nodes[node][1:])
        self.nodes = {node: key for node, key in self.nodes.items() if node in needed}

    def allocate(self) -> Network:
        """Give each node a register, taking over that of an operand read for the last time."""
        last_use = {slot: node for node, key in self.nodes.items() for slot in key[1:]}
        last_use.update(dict.fromkeys(self.outputs, max(self.nodes, default=0) + 1))
        slot_of = {index: index for index in range(self.n_inputs)}
        free: list[int] = []
        n_registers = 0
        steps = []
        for node, (maximum, first, second) in self.nodes.items():
            operands = (slot_of[first], slot_of[second])
            free += [
                slot_of[operand]
                for operand in {first, second}
                if operand >= self.n_inputs and last_use[operand] == node
            ]
            if not free:
                free.append(self.n_inputs + n_registers)
                n_registers += 1
            slot_of[node] = free.pop()
            steps.append(Step(maximum, slot_of[node], *operands))
        outputs = tuple(slot_of[node] for node in self.outputs)
        return Network(self.n_inputs, n_registers, tuple(steps), outputs)
