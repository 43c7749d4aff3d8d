"""Celery: a task publishes an event, once, however often it is tried. `celery -A celery_app worker`."""

import os
from functools import cache
from typing import Any

from celery import Celery, Task
from liveserver_client import Publisher, Unreachable

app = Celery("celery_app", broker=os.environ.get("CELERY_BROKER", "memory://"))


@cache
def publisher() -> Publisher:
    """Open the process' publisher at the first use, which is after any forking."""
    return Publisher(os.environ["LIVESERVER_DISPATCHERS"].split(","), give_up_after=5)


@app.task(bind=True, autoretry_for=(Unreachable,), retry_backoff=True, max_retries=8)
def goal(self: Task, video: str, score: dict[str, Any]) -> int:
    """Publish a goal; the task's id is the event's, so a retry is not published twice."""
    receipt = publisher().publish(video, [{"id": self.request.id, "type": "goal", "data": score}])
    return receipt.accepted + receipt.duplicates
