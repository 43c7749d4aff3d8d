"""Each backend learns all comments, whenever it starts, and reports when some are missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio
from trio.testing import MockClock

from liveserver import state
from liveserver.backend.follow import Follower
from liveserver.backend.received import ReceivedComment, ReceivedEvents, add_batches, add_state_lines
from liveserver.backend.view import Known, View
from liveserver.bus.interface import Head, Slice
from liveserver.cursor import Cursor
from liveserver.errors import BusError
from liveserver.event import Batch
from liveserver.moderation.rules import SITE
from liveserver.state import Keyed
from tests.backend.harness import settings


class ScriptedLog:
    """One video's log, as the test says."""

    def __init__(self) -> None:
        self.epoch, self.lines, self.oldest = "e1", [b""], 1
        self.states: list[bytes] = []
        self.failures = 0
        self.reads = 0

    def say(self, *lines: bytes) -> None:
        self.lines += lines

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]:
        await trio.lowlevel.checkpoint()
        if "v" not in after:
            return {}
        self.reads += 1
        if self.failures:
            self.failures -= 1
            raise BusError("gone")
        last = after["v"]
        first = max(last + 1, self.oldest)
        lines = self.lines[first : first + limit]
        head = Head(self.epoch, len(self.lines) - 1, Cursor())
        batches = [Batch("v", self.epoch, first, "dc1", self.epoch, first, lines)] if lines else []
        upto = batches[-1].last if len(lines) == limit else None
        return {"v": Slice(head, self.oldest, batches, upto)}

    async def state(self, video: str) -> list[bytes]:
        await trio.lowlevel.checkpoint()
        return self.states


def said(number: int) -> bytes:
    return b'comment {"id":"c%d","video":"v","type":"comment","at":%d,"data":{"text":"%d"}}' % ((number,) * 3)


def sums(store: str, total: int) -> bytes:
    event = msgspec.json.encode(
        {"id": "i", "video": "v", "type": "likes", "data": {"total": {"heart": total}}}
    )
    return f";likes;likes/{store};{total};1; ".encode() + event


class FollowStage:
    """A follower of a scripted log, and what it keeps."""

    def __init__(self, known: Known | None = None) -> None:
        self.log = ScriptedLog()
        self.kept: list[ReceivedEvents] = []
        self.again: list[str] = []
        self.others: dict[str, int] = {}
        self.restored: list[tuple[str, list[str]]] = []
        self.known = known or Known({"own": {}}, "", 0, False)
        self.follower = Follower(
            "own", settings(), self.log, self._load, self._keep, self.again.append, self._restore, self.others
        )

    async def _load(self, video: str) -> Known:
        await trio.lowlevel.checkpoint()
        return Known({}, "", 0, False) if video == SITE else self.known

    def _restore(self, video: str, events: Sequence[Keyed]) -> None:
        self.restored.append((video, [event.key for event in events]))

    async def _keep(self, received: ReceivedEvents) -> None:
        await trio.lowlevel.checkpoint()
        self.kept.append(received)

    @property
    def texts(self) -> list[str]:
        return [each.text for received in self.kept for each in received.comments]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[View]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.follower.run)
            yield await self.follower.follow("v")
            nursery.cancel_scope.cancel()


async def test_a_log_is_read_in_pieces_and_each_event_once(autojump_clock: MockClock) -> None:
    on = FollowStage()
    on.log.say(*map(said, range(2_500)))
    async with on.running() as view:
        assert (view.offset, view.is_complete) == (2_500, True)
        on.log.say(*map(said, range(2_500, 2_600)))
        on.log.failures = 3
        await trio.sleep(5)
    assert on.texts == [str(number) for number in range(2_600)]
    assert on.follower.statistics().failures == 3


async def test_following_resumes_at_the_last_position(autojump_clock: MockClock) -> None:
    on = FollowStage(Known({"own": {}}, "e1", 7, True))
    on.log.say(*map(said, range(10)))
    async with on.running() as view:
        assert view.is_complete
    assert on.texts == ["7", "8", "9"]


async def test_a_hole_is_kept_as_one(autojump_clock: MockClock) -> None:
    on = FollowStage(Known({"own": {}}, "e1", 3, True))
    on.log.say(*map(said, range(10)))
    on.log.oldest = 6
    async with on.running() as view:
        assert not view.is_complete
        on.log.say(said(10))
        await trio.sleep(1)
        assert not view.is_complete
    assert on.texts == ["5", "6", "7", "8", "9", "10"]
    assert not on.kept[-1].is_complete


async def test_a_log_that_began_anew_is_read_from_its_beginning_and_given_our_totals(
    autojump_clock: MockClock,
) -> None:
    on = FollowStage(Known({"own": {"heart": 5}}, "", 0, False))
    on.log.states = [sums("own", 5), sums("other", 2)]
    on.log.say(said(0))
    async with on.running() as view:
        assert (view.reactions(), on.others["v"], on.again) == ({"heart": 7}, 2, [])
        on.log.epoch, on.log.lines, on.log.states = "e2", [b"", said(1)], []
        await trio.sleep(1)
        assert (view.epoch, view.offset, view.is_complete) == ("e2", 1, False)
        assert view.reactions() == {"heart": 7}, "totals only grow"
        assert on.again == ["v"]
    assert on.texts == ["0", "1"]


async def test_an_older_form_of_our_totals_in_the_state_is_renewed(autojump_clock: MockClock) -> None:
    on = FollowStage(Known({"own": {"heart": 5}}, "e1", 0, False))
    on.log.states = [sums("own", 4)]
    async with on.running():
        assert on.again == ["v"]


async def test_unrequested_videos_are_not_followed(autojump_clock: MockClock) -> None:
    on = FollowStage()
    async with on.running():
        await trio.sleep(590)
        assert on.follower.view("v")
        await trio.sleep(20)
        assert on.follower.view("v") is None
        reads = on.log.reads
        await trio.sleep(100)
        assert (on.log.reads, on.others) == (reads, {})


async def test_without_a_bus_the_first_answer_waits_a_second_and_the_next_does_not(
    autojump_clock: MockClock,
) -> None:
    on = FollowStage()
    on.log.failures = 1_000
    began = trio.current_time()
    async with on.running():
        assert trio.current_time() == began + 1
        await on.follower.follow("v")
        assert trio.current_time() == began + 1


async def test_a_view_is_level_while_its_log_can_be_read_to_its_head(autojump_clock: MockClock) -> None:
    on = FollowStage()
    on.log.say(said(1))
    on.log.failures = 10
    async with on.running() as view:
        assert not view.is_level
        await trio.sleep(100)
        view = await on.follower.follow("v")
        assert view.is_level
        on.log.failures = 1_000_000
        await trio.sleep(10)
        view = await on.follower.follow("v")
        assert not view.is_level
        on.log.failures = 0
        await trio.sleep(10)
        assert (await on.follower.follow("v")).is_level


def test_lines_of_other_shapes_are_skipped() -> None:
    received = ReceivedEvents("v", comments=[], retracted=[], totals={})
    lines = [
        b'comment {"id":"a","at":1,"data":{"text":"t\\u0000"},"user":"u\\u0000"}',
        b'comment {"id":"b","at":1,"data":"no text"}',
        b'comment {"id":"c","at":1}',
        b'comment {"id":"d\\u0000","at":1,"data":{"text":"t"}}',
        b'comment {"id":"e","at":1,"data":{"text":7}}',
        b'retract {"id":"x","data":{"id":"a"}}',
        b'retract {"id":"x","data":"a"}',
        b'wave {"id":"f"}',
        b";likes;likes/s;7;1; nonsense",
        sums("s", 3),
        sums("s", 2),
        b';likes;likes/t;1;1; {"id":"i","data":{"total":{"heart":-1,"fire":1e3,"wow":true}}}',
        b';likes;likes/u;1;1; {"id":"i","data":{"total":{"heart":99999999999999999999}}}',
        b';settings;settings;1;1; {"id":"i","data":{"total":{"heart":9}}}',
    ]
    add_batches(received, [Batch("v", "e", 1, "dc1", "e", 1, lines)])
    assert received.comments == [ReceivedComment("a", "u", "t", 1)]
    assert received.retracted == ["a"]
    assert {store: totals for store, totals in received.totals.items() if totals} == {"s": {"heart": 3}}
    add_state_lines(received, [sums("s", 5)])
    assert received.totals["s"] == {"heart": 5}


def rule(key: str, name: str, at: int, data: str) -> bytes:
    kind = key.partition("/")[0]
    head = state.head(kind, key, None, at, is_cleared=data == "null", is_internal=kind == "ban")
    return b'%b {"id":"%b","video":"v","type":"%b","at":%d,"key":"%b","data":%b}' % (
        head,
        name.encode(),
        kind.encode(),
        at,
        key.encode(),
        data.encode(),
    )


CLOSED = rule("settings", "s2", 20, '{"comments":"closed"}')
OPENED = rule("settings", "s1", 10, '{"comments":"open"}')
BANNED = rule("ban/ada", "b1", 10, '{"user":"ada"}')
LIFTED = rule("ban/ada", "b2", 30, "null")


def knowing(*lines: bytes) -> Known:
    return Known({"own": {}}, "", 0, False, [state.read(line) for line in lines])


async def test_a_state_that_lost_rules_gets_them_again_and_they_hold_meanwhile(
    autojump_clock: MockClock,
) -> None:
    on = FollowStage(knowing(CLOSED, BANNED))
    async with on.running() as view:
        assert view.rules.settings.comments == "closed"
        assert view.rules.ban("ada", 0) is not None
        assert on.restored == [("v", ["settings", "ban/ada"])]


async def test_a_state_without_a_log_that_lost_rules_in_a_new_epoch_gets_them_again(
    autojump_clock: MockClock,
) -> None:
    on = FollowStage(knowing(CLOSED, BANNED))
    on.log.states, on.log.lines = [CLOSED, BANNED], [b""]
    async with on.running() as view:
        assert (view.offset, on.restored) == (0, [])
        on.log.epoch, on.log.states = "e2", [CLOSED]
        await trio.sleep(1)
        assert on.restored == [("v", ["ban/ada"])]


async def test_older_rules_that_come_back_change_nothing_and_are_outdone(autojump_clock: MockClock) -> None:
    on = FollowStage(knowing(CLOSED, LIFTED))
    on.log.states = [OPENED, BANNED]
    async with on.running() as view:
        assert view.rules.settings.comments == "closed"
        assert view.rules.bans == {}
        assert sorted(on.restored[0][1]) == ["ban/ada", "settings"]


async def test_rules_are_kept_with_how_far_the_log_was_read(autojump_clock: MockClock) -> None:
    on = FollowStage()
    async with on.running() as view:
        on.log.say(CLOSED, BANNED, rule("ban/bob", "x", 5, '{"no":"user"}'))
        await trio.sleep(1)
        assert (view.rules.settings.comments, list(view.rules.bans)) == ("closed", ["ada"])
        assert [each.event.key for each in on.kept[-1].rules] == ["settings", "ban/ada", "ban/bob"]
        assert on.restored == []


async def test_comments_of_a_cleared_user_that_come_later_are_stored_as_retracted(
    autojump_clock: MockClock,
) -> None:
    on = FollowStage(knowing(rule("clear/ada", "c", 50, '{"user":"ada"}')))
    async with on.running():
        line = b'comment {"id":"c%d","video":"v","type":"comment","user":"ada","at":%d,"data":{"text":"x"}}'
        on.log.say(line % (1, 50), line % (2, 51))
        await trio.sleep(1)
        assert on.kept[-1].retracted == ["c1"]
        assert [each.id for each in on.kept[-1].comments] == ["c2"]
