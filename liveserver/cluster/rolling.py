"""Restarts every node, one after the other, while the cluster runs: for a new version or new settings.

1. Frontends first, dispatchers last, as frontends need dispatchers to leave. Redis is not restarted, as its
   data is only in memory.
2. A node is restarted when all nodes are ready; so of two nodes with the same role one is always running. If
a
   node is not ready, or does not become ready again, the rolling restart stops.
3. A node is ended as always: SIGTERM, drain, and SIGKILL only if necessary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import trio

from liveserver.cluster import probe
from liveserver.cluster.child import Child, Say
from liveserver.cluster.topology import NodeSpec

READY_WITHIN = 30.0  # seconds within which a restarted node has to be ready


async def roll(
    nodes: Sequence[NodeSpec], children: Mapping[str, Child], say: Say, *, ready_within: float = READY_WITHIN
) -> bool:
    """Restart all of `nodes` in turn, with messages by `say`; return whether all became ready again."""
    order = sorted(nodes, key=lambda node: node.role == "dispatcher")
    begun = trio.current_time()
    for number, node in enumerate(order, 1):
        if reason := await _not_ready_reason(nodes):
            say(f"rolling restart stopped before {node.name}: {reason}")
            return False
        say(f"rolling restart, {number} of {len(order)}: ending {node.name}")
        await children[node.name].restart()
        complain = partial(_say_waiting, say, node.name)
        with trio.move_on_after(ready_within):
            for ops in node.all_ops:
                await probe.wait_ready(ops, complain)
            continue
        left = ", ".join(each.name for each in order[number:]) or "none"
        say(
            f"rolling restart stopped: {node.name} is not ready {ready_within:g} s after its start, "
            f"see its output above; not restarted yet: {left}"
        )
        return False
    say(f"rolling restart done: {len(order)} nodes in {trio.current_time() - begun:.1f} s")
    return True


def _say_waiting(say: Say, name: str, what: str) -> None:
    say(f"waiting for {name}; {what}")


async def _not_ready_reason(nodes: Sequence[NodeSpec]) -> str | None:
    for node in nodes:
        for ops in node.all_ops:
            if reason := await probe.not_ready_reason(ops):
                return f"{node.name} is not ready; http://{ops}/readyz says: {reason}"
    return None
