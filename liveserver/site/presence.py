"""Lists the users watching a video, by querying the frontends of all datacenters on request.

Rules:

1. A query is an event of the site's log, so it reaches every node. Each frontend with viewers of the video
   stores its answer beside the video's other keys in its datacenter's Redis. The querying node collects
   them: one for each node in the subscription table, or those that arrive in time.
2. In another datacenter each dispatcher collects in the same way, and publishes the result as an event of the
   site's log. All use the same id, so it is accepted once.
3. An answer has the first users after a name, sorted, and whether there are more. When answers are merged,
   names after the last one of an incomplete answer are dropped, since that answer may be missing some.
4. Missing answers are marked (`complete`). Joining and the fan-out have no extra cost.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec
import structlog
import trio

from liveserver.errors import BusError, LiveserverError, Problem, TooMany, Unavailable
from liveserver.event import SITE
from liveserver.site.desk import PublishTarget
from liveserver.viewer_count import ViewerCount

QUESTION, ANSWER = b"site.question", b"site.answer"  # types of events
OWN_SECONDS = 1.0  # for the answers of this datacenter
PEER_SECONDS = 2.5  # for the answers of the other datacenters
POLL_INTERVAL = 0.05  # seconds between two reads of the answers
MAX_ASKING = 10  # concurrent queries of one node
MAX_ANSWER = 12_000  # bytes of names in one answer, so that it fits into an event
ANSWER_TTL = 10.0  # seconds

log = structlog.get_logger(__name__)


class AnswerBus(Protocol):
    """The part of a bus by which nodes answer. All raise `BusError`."""

    async def answer(self, video: str, question: str, node: str, content: bytes, ttl: float) -> None: ...

    async def answers(self, video: str, question: str) -> tuple[dict[str, bytes], frozenset[str]]: ...

    async def count(self, video: str) -> ViewerCount: ...


class Present(msgspec.Struct, frozen=True, omit_defaults=True, order=True):
    """A user who is watching."""

    user: str
    role: str | None = None


class Reply(msgspec.Struct, frozen=True):
    """The answer of a node or datacenter. `viewers` counts all, `anonymous` those without a user."""

    users: list[Present]
    more: bool = False
    viewers: int = 0
    anonymous: int = 0
    complete: bool = True


class UsersPage(msgspec.Struct, frozen=True):
    """A page of the users who are watching; `next` is the next `after`, None at the end."""

    video: str
    users: list[Present]
    next: str | None
    anonymous: int
    complete: bool


class _Question(msgspec.Struct):
    id: str
    video: str
    after: str
    limit: int
    datacenter: str


class _QuestionEvent(msgspec.Struct):
    data: _Question


class _Answer(msgspec.Struct):
    question: str
    datacenter: str
    reply: Reply


class _AnswerEvent(msgspec.Struct):
    data: _Answer


_question = msgspec.json.Decoder(_QuestionEvent).decode
_answer = msgspec.json.Decoder(_AnswerEvent).decode
_reply = msgspec.json.Decoder(Reply).decode

Watching = Callable[[str], "tuple[dict[str, str | None], int, int] | None"]


def cut(users: Iterable[Present], after: str, limit: int, viewers: int, anonymous: int) -> Reply:
    """Return the first users after a name, in order."""
    behind = sorted(present for present in users if present.user > after)
    page: list[Present] = []
    size = 0
    for present in behind[:limit]:
        size += len(msgspec.json.encode(present))
        if size > MAX_ANSWER and page:
            break
        page.append(present)
    return Reply(page, len(page) < len(behind), viewers, anonymous)


def merge(replies: Iterable[Reply], limit: int, *, complete: bool = True) -> Reply:
    """Merge replies (rule 3)."""
    users: dict[str, Present] = {}
    viewers = anonymous = 0
    ends: list[str] = []
    for reply in replies:
        for present in reply.users:
            if present.user not in users or present.role is not None:
                users[present.user] = present
        if reply.more and reply.users:
            ends.append(reply.users[-1].user)
        viewers, anonymous = viewers + reply.viewers, anonymous + reply.anonymous
        complete = complete and reply.complete
    names = sorted(users)
    known = [name for name in names if not ends or name <= min(ends)]
    found = cut((users[name] for name in known), "", limit, viewers, anonymous)
    more = found.more or len(known) < len(names) or bool(ends)
    return Reply(found.users, more, viewers, anonymous, complete)


class Presence:
    """One node's part: queries, and answers if it is a dispatcher (`is_dispatcher`) or a frontend.

    `watching` returns a video's users at this node with their roles, the number of viewers, and the number of
    those without a user; None if the video has no viewers here.
    """

    def __init__(
        self,
        node: str,
        datacenter: str,
        bus: AnswerBus,
        nursery: trio.Nursery,
        *,
        target: PublishTarget | None = None,
        watching: Watching | None = None,
        is_dispatcher: bool = False,
        has_users: bool = True,
    ) -> None:
        self._node = node
        self._datacenter = datacenter
        self._bus = bus
        self._nursery = nursery
        self._target = target
        self._watching = watching
        self._is_dispatcher = is_dispatcher
        self._has_users = has_users
        self._asking: dict[str, dict[str, Reply]] = {}  # question → datacenter → its reply
        self._answered = trio.Event()

    async def list_users(self, video: str, after: str, limit: int) -> UsersPage:
        """Return a page of the users who watch. Raises `TooMany`, `Unavailable`."""
        if self._target is None or not self._has_users:  # without tokens all are anonymous
            return UsersPage(video, [], None, (await self._count(video)).total, True)
        if len(self._asking) >= MAX_ASKING:
            raise TooMany("too many queries for the viewers in progress; try again", 1)
        question = _Question(secrets.token_hex(8), video, after, limit, self._datacenter)
        others = self._asking[question.id] = {}
        try:
            await self._publish(self._target, QUESTION, f"q-{question.id}", question)
            deadline = trio.current_time() + PEER_SECONDS
            own = await self._collect(question)
            count = await self._count(video)
            elsewhere = count.total - count.datacenter
            with trio.move_on_at(deadline):
                while sum(reply.viewers for reply in others.values()) < elsewhere:
                    await self._answered.wait()
        except BusError:
            raise Unavailable("Redis is unavailable: the frontends cannot be queried", 1) from None
        finally:
            del self._asking[question.id]
        is_all = sum(reply.viewers for reply in others.values()) >= elsewhere
        page = merge([own, *others.values()], limit, complete=is_all)
        following = page.users[-1].user if page.more and page.users else None
        return UsersPage(video, page.users, following, page.anonymous, page.complete)

    async def _count(self, video: str) -> ViewerCount:
        """Return the video's viewer count. Raises `Unavailable`."""
        try:
            return await self._bus.count(video)
        except BusError:
            raise Unavailable("the viewers cannot be counted; try again", 1) from None

    async def on_question(self, event: bytes) -> None:
        """Answer a query if this node has to. Raises nothing."""
        try:
            question = _question(event).data
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        found = self._watching(question.video) if self._watching is not None else None
        if found is not None:
            users, viewers, anonymous = found
            present = [Present(name, role) for name, role in users.items()]
            reply = cut(present, question.after, question.limit, viewers, anonymous)
            content = msgspec.json.encode(reply)
            try:
                await self._bus.answer(question.video, question.id, self._node, content, ANSWER_TTL)
            except BusError as error:
                log.warning("question_not_answered", reason=str(error))
        if self._is_dispatcher and question.datacenter != self._datacenter:
            self._nursery.start_soon(self._answer_for_peer, question)

    async def on_answer(self, event: bytes) -> None:
        """Store another datacenter's result."""
        try:
            answer = _answer(event).data
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if answer.question in self._asking and answer.datacenter != self._datacenter:
            self._asking[answer.question][answer.datacenter] = answer.reply
            self._answered.set()
            self._answered = trio.Event()

    async def _answer_for_peer(self, question: _Question) -> None:
        try:
            reply = await self._collect(question)
            if reply.viewers and self._target is not None:
                answer = _Answer(question.id, self._datacenter, reply)
                await self._publish(self._target, ANSWER, f"a-{question.id}-{self._datacenter}", answer)
        except LiveserverError as error:
            log.warning("question_not_answered", reason=str(error))

    async def _collect(self, question: _Question) -> Reply:
        """Return the answers of this datacenter's frontends that arrive in time. Raises `BusError`."""
        deadline = trio.current_time() + OWN_SECONDS
        while True:
            found, nodes = await self._bus.answers(question.video, question.id)
            is_all = nodes <= found.keys()
            if is_all or trio.current_time() >= deadline:
                return merge(map(_reply, found.values()), question.limit, complete=is_all)
            await trio.sleep(POLL_INTERVAL)

    async def _publish(self, target: PublishTarget, kind: bytes, name: str, data: Any) -> None:
        """Publish an event in the site's log. Raises `Unavailable`, `DispatcherError`."""
        event = {"id": name, "video": SITE, "type": kind.decode(), "data": data}
        try:
            await target.publish(msgspec.json.encode([event]), retractions=False)
        except Problem:
            raise
        except LiveserverError as error:
            log.warning("question_not_published", reason=str(error))
            raise Unavailable("no dispatcher accepts the query; try again", 1) from None
