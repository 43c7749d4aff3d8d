"""The contract of interface.py for every bus: the state (liveserver/state.py)."""

from __future__ import annotations

import random

import pytest

from liveserver.bus.interface import AppendRequest, AppendResult, ReplicationBatch
from liveserver.state import State, head, read
from tests.bus.harness import OpenBus, WholeBus, take
from tests.conftest import Until


def keyed(key: str, name: str, *, version: int | None = None, at: int = 1000, data: str = "1") -> bytes:
    """A line as the dispatcher renders it."""
    where = head("likes", key, version, at, is_cleared=data == "null", is_internal=False)
    return b'%b {"id":"%b","data":%b}' % (where, name.encode(), data.encode())


async def publish(bus: WholeBus, *lines: bytes, ids: list[str | None] | None = None) -> AppendResult:
    (result,) = await bus.append(
        [
            AppendRequest(
                "v", random.randbytes(8).hex(), list(lines), ids or [None] * len(lines), is_keyed=True
            )
        ]
    )
    return result


def relayed(first: int, *lines: bytes, origin: str = "dc2") -> ReplicationBatch:
    return ReplicationBatch("v", origin, "aaaaa", first, 10 * (first + len(lines) - 1), list(lines))


async def state(bus: WholeBus) -> dict[str, str]:
    """Each key with the id of its newest event; those that are cleared with a `-` before it."""
    events = map(read, await bus.state("v"))
    return {event.key: "-" * event.is_cleared + event.rank[2].decode() for event in events}


async def logged(bus: WholeBus) -> list[bytes]:
    return [line for batch in (await bus.read("v", 0, 1_000)).batches for line in batch.lines]


async def test_the_newest_of_each_key_is_kept_beside_the_log(bus: WholeBus) -> None:
    lines = [
        keyed("pin", "a"),
        keyed("likes/x", "b", version=7),
        keyed("pin", "c", at=1001),
        keyed("likes/x", "d", version=8, at=999),
    ]
    result = await publish(bus, *lines, b'like {"id":"e"}')
    assert (result.first, result.stale, result.is_full) == (1, frozenset(), False)
    assert await logged(bus) == [*lines, b'like {"id":"e"}']
    assert sorted(await bus.state("v")) == sorted(lines[2:])
    assert await bus.state("w") == []


@pytest.mark.parametrize(
    "older",
    [
        keyed("k", "z", version=4, at=9000),
        keyed("k", "z", version=5, at=999),
        keyed("k", "a", version=5),
        keyed("k", "m", version=5),
        keyed("k", "z", at=9000),
        keyed("k", "z", version=4, at=9000, data="null"),
    ],
)
async def test_an_event_older_than_the_state_is_not_numbered(bus: WholeBus, older: bytes) -> None:
    await publish(bus, newest := keyed("k", "m", version=5))
    result = await publish(bus, keyed("other", "o"), older, b'like {"id":"e"}')
    assert (result.first, result.stale, result.duplicates) == (2, frozenset({1}), frozenset())
    assert len(await logged(bus)) == 3
    assert newest in await bus.state("v")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("B", "a"),  # bytes, not an alphabet's order
        ("a", "aa"),
        ("-", "0"),
        ("Z", "a"),
    ],
)
async def test_ids_are_compared_by_their_bytes(bus: WholeBus, before: str, after: str) -> None:
    assert (await publish(bus, keyed("k", after))).stale == frozenset()
    assert (await publish(bus, keyed("k", before))).stale == {0}
    assert await state(bus) == {"k": after}


async def test_versions_are_exact_up_to_what_javascript_counts(bus: WholeBus) -> None:
    await publish(bus, keyed("k", "a", version=2**53 - 2))
    assert (await publish(bus, keyed("k", "b", version=2**53 - 1))).stale == frozenset()
    assert (await publish(bus, keyed("k", "c", version=2**53 - 2, at=5000))).stale == {0}


async def test_a_cleared_key_is_not_restored_by_older_events(bus: WholeBus) -> None:
    await publish(bus, keyed("k", "a"), keyed("k", "b", at=1005, data="null"))
    assert await state(bus) == {"k": "-b"}
    assert (await publish(bus, keyed("k", "c", at=1004))).stale == {0}
    (kept,) = await bus.state("v")
    assert read(kept).data == b'{"id":"b"}'
    await publish(bus, keyed("k", "d", at=1006))
    assert await state(bus) == {"k": "d"}


async def test_a_known_id_is_a_duplicate_rather_than_stale(bus: WholeBus) -> None:
    await publish(bus, keyed("k", "a"), ids=["a"])
    result = await publish(bus, keyed("k", "a", at=2000), ids=["a"])
    assert result.duplicates == {0}
    assert not result.stale


async def test_a_request_appended_again_gets_the_same_result(bus: WholeBus) -> None:
    await publish(bus, keyed("k", "b"))
    parcel = AppendRequest("v", "t", [keyed("k", "a"), keyed("k", "c")], [None, None], is_keyed=True)
    (first,) = await bus.append([parcel])
    assert await bus.append([parcel]) == [first]
    assert first.stale == {0}


async def test_an_older_relayed_event_is_numbered_and_the_state_keeps_the_newer(bus: WholeBus) -> None:
    async with bus.inbox("n") as inbox:
        await bus.subscribe("n", {"v": 1}, 30)
        await publish(bus, keyed("k", "m", version=5))
        (stands,) = await bus.relay([relayed(1, keyed("k", "z", version=4), keyed("l", "y"))])
        assert stands.number == 2
        assert sum(len(batch.lines) for batch in await take(inbox, 3)) == 3
    assert await state(bus) == {"k": "m", "l": "y"}
    await bus.relay([relayed(3, keyed("k", "z", version=6))])
    assert await state(bus) == {"k": "z", "l": "y"}


async def test_a_state_of_too_many_keys_takes_no_more(open_bus: OpenBus) -> None:
    async with open_bus(state_keys=3) as bus:
        assert not (await publish(bus, *[keyed(f"k{n}", "a") for n in range(3)])).is_full
        result = await publish(bus, b'like {"id":"x"}', keyed("k3", "a"), ids=["x", None])
        assert (result.is_full, result.first) == (True, 4)
        assert len(await logged(bus)) == 3
        again = await publish(bus, b'like {"id":"x"}', ids=["x"])
        assert not again.duplicates  # nothing of what was refused is remembered
        # What there is may still be changed and cleared; and other datacenters' keys are kept.
        assert not (await publish(bus, keyed("k1", "b", at=2000, data="null"))).is_full
        await bus.relay([relayed(1, keyed("k3", "a"))])
        assert await state(bus) == {"k0": "a", "k1": "-b", "k2": "a", "k3": "a"}


async def test_a_state_is_bounded_in_bytes(open_bus: OpenBus) -> None:
    async with open_bus(state_size=1_000) as bus:
        assert not (await publish(bus, keyed("k", "a", data=f'"{"x" * 500}"'))).is_full
        assert (await publish(bus, keyed("l", "a", data=f'"{"x" * 500}"'))).is_full
        assert (await publish(bus, keyed("k", "b", at=2000, data=f'"{"x" * 1000}"'))).is_full
        assert not (await publish(bus, keyed("k", "c", at=2000, data="1"))).is_full
        assert not (await publish(bus, keyed("l", "a", data=f'"{"x" * 500}"'))).is_full


async def test_relayed_state_is_bounded(open_bus: OpenBus) -> None:
    async with open_bus(state_keys=2) as bus:
        await bus.relay([relayed(1, *[keyed(f"k{n:02}", "a") for n in range(20)])])
        assert len(await state(bus)) == 8
        assert len(await logged(bus)) == 20


async def test_old_tombstones_make_room(open_bus: OpenBus) -> None:
    async with open_bus(state_keys=2) as bus:
        await publish(bus, keyed("a", "1", data="null"), keyed("b", "1"))
        assert not (await publish(bus, keyed("c", "1"))).is_full  # the tombstone is of 1970
        assert await state(bus) == {"b": "1", "c": "1"}


async def test_the_state_is_given_out_with_a_lease_that_opens_a_video(bus: WholeBus) -> None:
    await publish(bus, line := keyed("k", "a"))
    leases = await bus.subscribe("n", {"w": 1, "v": 1}, 30, ["v"])
    assert leases["v"].state == [line]
    assert leases["w"].state == []
    assert (await bus.subscribe("n", {"v": 1}, 30))["v"].state == []


async def test_the_state_expires_with_a_quiet_video(open_bus: OpenBus, until: Until) -> None:
    async with open_bus(idle_ttl=0.1) as bus:
        await publish(bus, keyed("k", "a"))

        async def expired() -> bool:
            # Redis' meta data, and the state beside it, outlive the log: see the keys' test in redis/.
            return not (await bus.read("v", 0, 10)).batches

        await until(expired)


async def test_any_order_of_arrival_ends_in_one_state(open_bus: OpenBus) -> None:
    chance = random.Random(7)
    lines = [
        keyed(
            f"k{chance.randrange(4)}",
            f"{number:02}",
            version=chance.choice([None, None, chance.randrange(5)]),
            at=1000 + chance.randrange(10),
            data=chance.choice(["1", "2", "null"]),
        )
        for number in range(60)
    ]
    wanted = {event.key: event.rank for event in State(map(read, lines))}
    for video in ("a", "b", "c"):
        chance.shuffle(lines)
        async with open_bus() as bus:
            await bus.append([AppendRequest(video, "t", lines[:30], [None] * 30, is_keyed=True)])
            await bus.relay([ReplicationBatch(video, "dc2", "aaaaa", 1, 30, lines[30:])])
            await bus.append([AppendRequest(video, "t2", lines[:30], [None] * 30, is_keyed=True)])
            assert {event.key: event.rank for event in map(read, await bus.state(video))} == wanted


async def test_the_state_of_another_datacenter_is_merged_without_numbers(bus: WholeBus) -> None:
    await publish(bus, keyed("a", "1", version=5))
    theirs = [keyed("a", "2", version=4), keyed("b", "3"), keyed("c", "4", data="null")]
    await bus.merge_states({"v": theirs, "w": []})
    assert await state(bus) == {"a": "1", "b": "3", "c": "-4"}
    assert len(await logged(bus)) == 1
    states = await bus.states(["v", "w"])
    assert (len(states["v"]), states["w"]) == (3, [])
    assert await bus.states([]) == {}
    await bus.merge_states({})


@pytest.mark.parametrize(
    "key", ["settings", "pin", "ban/ada", "clear/ada", "waiting/w", "likes/s", "revoked/t"]
)
async def test_the_servers_own_events_fit_although_publishers_filled_the_state(
    open_bus: OpenBus, key: str
) -> None:
    async with open_bus(state_keys=2) as bus:
        await publish(bus, keyed("a", "1"), keyed("b", "1"))
        assert (await publish(bus, keyed("c", "1"))).is_full
        assert (await publish(bus, keyed("c", "1"), keyed(key, "1"))).is_full
        assert not (await publish(bus, keyed(key, "1"))).is_full
        assert set(await state(bus)) == {"a", "b", key}
        assert not (await publish(bus, keyed("likes/other", "1"))).is_full
        assert (await publish(bus, keyed("likes/another", "1"))).is_full
