"""Tasks with long steps take turns with all others."""

from __future__ import annotations

import trio

from liveserver.turns import Turns


async def test_one_task_has_its_turn_in_each_round() -> None:
    turns, order = Turns(), list[str]()

    async def long() -> None:
        for _ in range(3):
            await turns.wait_turn()
            order.append("long")

    async def bystander() -> None:
        while order.count("long") < 60:
            order.append("bystander")
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bystander)
        for _ in range(20):
            nursery.start_soon(long)
    # Each round is shuffled: at most two of them follow each other.
    assert "long long long" not in " ".join(order)


async def test_turns_are_in_order_of_arrival() -> None:
    turns, order = Turns(), list[int]()

    async def one(number: int) -> None:
        await turns.wait_turn()
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(one, number)
            await trio.lowlevel.checkpoint()
    assert order == list(range(5))
