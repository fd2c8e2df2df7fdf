"""The wiring of posting-seek: what is built once, what is timed, what else is tried.

Owns nothing of the algorithm: `bind` gets the kernel's or the oracle's module as an argument. Results are compared
bit by bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import inputs
import numpy as np

from pytest_lance_autoresearch.records import CostFraction

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy

    Result = tuple[inputs.Ids, inputs.Ids]

UNIT = "seek"
INTRINSICS = True
"""The kernel may define intrinsics of its own; correctness is checked for any processor as well."""

COST_FRACTION = CostFraction(
    0.05,
    "an OR of 5 words in 200,000 docs: 1,100 probes, counted in a port of MAXSCORE, at what one takes here, of "
    "the CPU time with pylance 14.0.2",
)


def ops(shape: inputs.Shape) -> int:
    """Return the steps of one call."""
    plan = inputs.PLANS[shape]
    return plan.traces * plan.steps


def bind(impl: ModuleType, state: inputs.State) -> Callable[..., Result]:
    """Build the lists of `impl` over the state, untimed, and return the timed call."""
    lists = impl.PostingLists(state.blocks, state.offsets, state.first_blocks, state.lengths, state.block)
    answer: Callable[..., Result] = lists.run_traces
    return answer


class Example(NamedTuple):
    """What a property test draws; all arrays follow from it."""

    block: int
    length: int
    docs_per_posting: int
    first: int
    bits: int
    steps: int
    targets: str
    seed: int


def properties() -> SearchStrategy[tuple[inputs.State, inputs.Call]]:
    """Return a strategy of (state, call) pairs outside the battery: one list of up to 9,000 postings, up to 40
    steps.

    Only whole numbers and names are drawn, so that a failure shrinks fast and prints short.
    """
    from hypothesis import strategies as st

    return st.builds(
        Example,
        block=st.sampled_from((128, 256)),
        length=st.integers(1, 600) | st.sampled_from((1, 127, 128, 129, 255, 256, 257, 512, 1300, 5000, 9000)),
        docs_per_posting=st.sampled_from((1, 2, 100, 2**22)),
        first=st.sampled_from((0, 1, 2**31, inputs.LARGEST_ID)),
        bits=st.integers(1, 32),
        steps=st.integers(0, 40),
        targets=st.sampled_from(("docs", "between", "few", "any")),
        seed=st.integers(0, 2**32 - 1),
    ).map(realise)


def realise(example: Example) -> tuple[inputs.State, inputs.Call]:
    """Make the list and the trace of an example; after a step NEXT beyond the list no SHALLOW follows."""
    rng = np.random.default_rng(example.seed)
    widest = min(example.docs_per_posting, inputs.LARGEST_ID // example.length)
    gaps = rng.integers(1, widest, example.length, endpoint=True)
    ids = np.cumsum(gaps) - 1
    ids += min(example.first, inputs.LARGEST_ID - ids[-1])
    frequencies = rng.integers(1, 2**example.bits, example.length)
    operations = rng.integers(0, 3, (1, example.steps), dtype=np.uint8)
    size = operations.shape
    targets = {
        "docs": np.sort(rng.choice(ids, size)),
        "between": np.sort(rng.integers(0, ids[-1], size, endpoint=True)),
        "few": rng.choice(ids[:: -(-len(ids) // 3)], size) + rng.integers(0, 2, size),
        "any": rng.integers(0, inputs.LARGEST_TARGET, size, endpoint=True),
    }[example.targets]
    beyond = np.maximum.accumulate((targets > ids[-1]) & (operations == inputs.NEXT), axis=1)
    operations[beyond & (operations == inputs.SHALLOW)] = inputs.NEXT
    state = inputs.state_of([(ids.astype(np.uint32), frequencies.astype(np.uint32))], example.block)
    return state, (np.zeros(1, np.int64), operations, targets.astype(np.uint32))
