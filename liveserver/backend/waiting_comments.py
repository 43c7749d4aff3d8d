"""Comments that wait until a moderator, or the site's own service, has decided on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from liveserver.backend.commands import Comments
from liveserver.backend.review import Decision, ReviewHook, ReviewStatistics
from liveserver.config import ReviewSettings
from liveserver.errors import NotFound, TooMany
from liveserver.moderation import acts
from liveserver.moderation.acts import Act
from liveserver.moderation.publisher import ActPublisher, RulesSource
from liveserver.moderation.rules import Waiting


class WaitingComments:
    """The comments that wait; they are among their videos' rules. `act` publishes acts and applies them."""

    def __init__(
        self,
        source: RulesSource,
        publisher: ActPublisher,
        act: Callable[..., Awaitable[list[Act]]],
        settings: ReviewSettings,
        hook: ReviewHook | None,
    ) -> None:
        self._source = source
        self._acts = publisher
        self._act = act
        self._settings = settings
        self._hook = hook

    async def decide(self, video: str, comment: Waiting) -> Decision:
        """Return the decision on a comment that is to be reviewed."""
        return "hold" if self._hook is None else await self._hook.decide(video, comment)

    async def hold(self, video: str, comment: Waiting) -> None:
        """Hold a comment for a moderator; once only. Raises `TooMany`, and as `act` does."""
        act = acts.wait(video, comment)
        rules = await self._source.rules(video)
        if act.key is not None and rules.get(act.key) is not None:
            return  # it waits already, or was decided: this request is a repeat
        if len(rules.waiting) >= self._settings.waiting_comments:
            raise TooMany("too many comments wait for a moderator; try again later", 10, "review")
        await self._acts.publish(act)

    async def review(self, video: str, by: str, name: str, decision: Literal["approved", "rejected"]) -> None:
        """Approve or reject a comment that waits. Raises `NotFound`, and as `act` does."""
        rules = await self._source.refresh(video)
        waiting = rules.waiting.get(name)
        if waiting is not None and decision == "approved" and rules.is_cleared(waiting.user, waiting.at):
            await self._act(acts.decide(video, by, waiting, "rejected"))  # it came while they were cleared
            waiting = None
        if waiting is None:
            raise NotFound("no such comment is waiting; another moderator may have decided")
        decided = acts.decide(video, by, waiting, decision)
        if decision == "approved":
            await self._act(acts.show(video, waiting), decided)
        else:
            await self._act(decided)

    async def page(self, video: str, before: str | None, limit: int) -> Comments:
        """Return a page of the comments that wait, newest first. Raises `NotFound`, `Unavailable`."""
        waiting = (await self._source.refresh(video)).waiting
        found = sorted(waiting.values(), key=lambda each: (each.at, each.id), reverse=True)
        if before is not None:
            if before not in waiting:
                raise NotFound("no such comment is waiting to continue from")
            found = found[found.index(waiting[before]) + 1 :]
        page = [msgspec.to_builtins(each) for each in found[:limit]]
        return Comments(page, page[-1]["id"] if len(found) > limit else None, True)

    def prepare_reload(self, review: ReviewSettings) -> Callable[[], None]:
        """Return the function that puts other settings of the review hook in force. Raises `ConfigError`."""
        return self._hook.prepare(review) if self._hook is not None else lambda: None

    def statistics(self) -> ReviewStatistics:
        return self._hook.statistics() if self._hook is not None else ReviewStatistics({}, 0)
