"""Lets viewers that are behind catch up, each in a task of its own and at its own pace.

There are two kinds. A *lagging* viewer has a full socket: the task waits until the rest of its chunk is
written, then continues from the log. A *withholding* viewer was at a node that was ahead of this one, or of
another datacenter: it is sent, item by item, only the events that it has not received. Once level, both join
a segment, and the task ends.

A viewer that accepts nothing for `slow_timeout`, or a chunk too slowly, is sent `bye`. One whose events are
no longer in the log is sent `gap`, or `bye`, depending on `slow_policy`.
"""

from __future__ import annotations

import math

import trio

from liveserver.config import FrontendSettings
from liveserver.cursor import Cursor, Mark
from liveserver.frontend.delivery.long_poll import PollWaiter
from liveserver.frontend.delivery.viewer import READING_PAUSE, State, Viewer, random_retry
from liveserver.frontend.history.frames import GAP, SKIP, gap_frame
from liveserver.transport.form import Reason
from liveserver.turns import Turns

MIN_WRITE_RATE = 16 * 1024  # bytes a second that a client has to accept, beyond `slow_timeout`
FEW = 10  # withholding viewers on one node
FEW_WAIT, MANY_WAIT = 30.0, 2.0  # seconds to wait for the events that they have received elsewhere


class Withholding:
    """The withholding viewers of this node, and how long they may withhold.

    A cursor may cover events that never arrive here, being invented or lost at their origin; and each event
    costs as much for such a viewer as for a whole segment. So after `seconds`, fewer while there are many
    such viewers, it is treated like other viewers. And they take turns: one of them at a time has its next
    events rendered, and all other tasks run in between.
    """

    def __init__(self) -> None:
        self.count = 0
        self.turns = Turns()

    @property
    def seconds(self) -> float:
        return FEW_WAIT if self.count <= FEW else MANY_WAIT

    async def catch_up(self, viewer: Viewer, settings: FrontendSettings) -> None:
        """Let a viewer catch up, counting it if it withholds events. Raises nothing."""
        if viewer.seen is None:
            await catch_up(viewer, settings, self)
            return
        self.count += 1
        try:
            await catch_up(viewer, settings, self)
        finally:
            self.count -= 1


async def catch_up(viewer: Viewer, settings: FrontendSettings, withholding: Withholding) -> None:
    """Send a viewer the events that it lacks, until it is level or has disconnected. Raises nothing."""
    began, due = trio.current_time(), math.inf
    while not viewer.is_gone:
        is_left_behind = viewer.position < viewer.audience.log.kept_from
        if not viewer.unsent and is_left_behind and settings.slow_policy == "close":
            _disconnect_slow(viewer, settings)
            return
        if not viewer.unsent:
            if viewer.seen is not None:
                await withholding.turns.wait_turn()
                if viewer.state is State.GONE:
                    return
            viewer.unsent, due = memoryview(_next(viewer, settings.max_write)), math.inf
        if not viewer.unsent:
            if viewer.seen is None or _is_settled(viewer):
                viewer.seen = viewer.unsent = None
                viewer.audience.rejoin(viewer)
                return
            patience = began + withholding.seconds + viewer.audience.log.delay - trio.current_time()
            if patience <= 0:
                viewer.unsent = memoryview(_give_up(viewer))
            elif not await _wait_appended(viewer, min(settings.heartbeat, patience)):
                viewer.unsent = memoryview(viewer.form.envelope(viewer.form.heartbeat))
            continue
        try:
            sent = viewer.send(viewer.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            viewer.peer.close()
            return
        viewer.save_unsent(viewer.unsent, sent)
        now = trio.current_time()
        if not viewer.is_blocked:
            viewer.audience.note_reading(viewer, now)
            await trio.lowlevel.checkpoint()
            continue
        if due == math.inf:
            due = now + settings.slow_timeout + len(viewer.unsent or b"") / MIN_WRITE_RATE
        if not await viewer.wait_writable(min(settings.slow_timeout, due - now)):
            if not viewer.is_gone:
                _disconnect_slow(viewer, settings)
            return
        if (woken := trio.current_time()) - now <= READING_PAUSE:
            viewer.audience.note_reading(viewer, woken)


def _give_up(viewer: Viewer) -> bytes:
    """Stop withholding; return a gap, since events may now arrive twice."""
    log = viewer.audience.log
    viewer.seen = None
    viewer.audience.counts.gaps += 1
    return _gap(viewer, log.cursor)


def _disconnect_slow(viewer: Viewer, settings: FrontendSettings) -> None:
    viewer.audience.counts.slow += 1
    viewer.audience.flush_history.add_note("let go", viewer.position, viewer.audience.log.tip)
    viewer.disconnect(Reason.SLOW, random_retry(settings))


def _next(viewer: Viewer, limit: int) -> bytes:
    """Return the next bytes to send, and advance the viewer past them; empty if there are none."""
    log, start, history = viewer.audience.log, viewer.position, viewer.audience.flush_history
    is_cut = start < log.kept_from and (viewer.seen is None or log.is_cut(viewer.seen))
    if is_cut:
        viewer.audience.counts.gaps += 1
        history.add_note("skipped", start, log.kept_from)
    if viewer.seen is None:
        chunk, viewer.position = log.frames(viewer.form).write(start, limit)
        viewer.audience.counts.deliveries += log.size_between(max(start, log.kept_from), viewer.position)
        return chunk
    viewer.position = max(start, log.kept_from)
    if is_cut:
        viewer.seen = log.floor.merged(viewer.seen)
        return _gap(viewer, viewer.seen)
    frames: list[bytes] = []
    size = withheld = omitted = 0
    marks = dict(viewer.seen)
    run, before, after = ("", ""), b"", b""  # of the cursors of consecutive events of one origin
    for position, item in log.walk(viewer.position, log.tip):
        if item.event == SKIP:
            if frames or omitted:
                break
            viewer.position = position + 1
            viewer.seen = Cursor.parse_trusted(item.cursor.decode()).merged(Cursor(marks.items()))
            marks, run = dict(viewer.seen), ("", "")
            if state := log.frames(viewer.form).state(viewer.position, str(viewer.seen).encode()):
                return state
            continue
        was_seen = log.was_seen(item, marks)
        is_gap = not was_seen and (item.event == GAP or not log.is_next(item, marks))
        if is_gap and (frames or omitted):
            break  # a gap is sent alone
        if is_gap and item.event != GAP:
            viewer.seen = Cursor(marks.items()).advanced(item.origin, item.epoch, item.number - 1)
            viewer.audience.counts.gaps += 1
            return _gap(viewer, viewer.seen)
        viewer.position = position + 1
        if was_seen:
            withheld += 1
            continue
        if withheld:
            _withhold(viewer, viewer.position - 1, withheld)
            withheld = 0
        if item.event == GAP:
            viewer.seen = Cursor.parse_trusted(item.cursor.decode()).merged(Cursor(marks.items()))
            return _gap(viewer, viewer.seen)
        if run != (item.origin, item.epoch):
            run = item.origin, item.epoch
            before, after = (text.encode() for text in Cursor(marks.items()).around(*run))
        marks[item.origin] = Mark(item.epoch, item.number)
        if position in log.internal and not viewer.form.is_internal:
            continue
        if (chosen := viewer.form.filter) is not None and not log.ranks.includes(chosen, position, item):
            omitted += log.ranks.omits(chosen, position, item)
            continue
        frames.append(viewer.form.frame(b"%b%d%b" % (before, item.number, after), item.event, item.data))
        size += len(frames[-1])
        viewer.audience.counts.deliveries += 1
        if size > limit:
            break
    if withheld:
        _withhold(viewer, viewer.position, withheld)
    viewer.seen = Cursor(marks.items())
    cursor, form = str(viewer.seen).encode(), viewer.form.for_one
    chunk = form.joined(log.video, cursor, frames) if frames else b""
    return chunk + form.omitted_frame(log.video, cursor, omitted) if omitted else chunk


def _gap(viewer: Viewer, cursor: Cursor) -> bytes:
    """Return the gap before the viewer's position, and the state there."""
    log, form = viewer.audience.log, viewer.form
    gap = form.for_one.envelope(gap_frame(form.for_one, log.video, cursor))
    return gap + log.frames(form).state(viewer.position, str(cursor).encode())


def _withhold(viewer: Viewer, end: int, count: int) -> None:
    """Record that `count` events before `end` were withheld."""
    viewer.audience.counts.withheld += count
    viewer.audience.flush_history.add_note("withheld", end - count, end)


def _is_settled(viewer: Viewer) -> bool:
    """Return whether this node has all events that the viewer has received, so none will be withheld."""
    assert viewer.seen is not None
    return viewer.audience.log.reaches(viewer.audience.log.tip, viewer.seen)


async def _wait_appended(viewer: Viewer, timeout: float) -> bool:
    """Wait until the channel's log has grown; return False after `timeout` seconds."""
    with trio.move_on_after(timeout) as scope:
        await viewer.audience.wait_appended()
    return not scope.cancelled_caught


async def finish_answer(waiter: PollWaiter, unsent: memoryview, timeout: float, keep_alive: float) -> None:
    """Write the rest of a long-poll's answer. Raises nothing."""
    peer = waiter.peer
    due = trio.current_time() + timeout + len(unsent) / MIN_WRITE_RATE
    with trio.move_on_after(timeout) as scope:
        try:
            while unsent:
                await peer.wait_writable()
                try:
                    unsent = unsent[peer.sock.send(unsent) :]
                except BlockingIOError:
                    continue
                scope.deadline = min(trio.current_time() + timeout, due)
        except (OSError, trio.ClosedResourceError):
            pass
    if unsent:
        peer.close()
    waiter.done(trio.current_time() + keep_alive)
