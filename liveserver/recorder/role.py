"""The recorder role of a process, the recordings that backends serve, and the history of dispatchers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from liveserver.auth.authorizer import Authorizer
from liveserver.config import RecorderSettings
from liveserver.errors import ConfigError
from liveserver.recorder.history import History
from liveserver.recorder.opening import open_store
from liveserver.recorder.recorder import Recorder
from liveserver.recorder.recording import Recording
from liveserver.recorder.store import ObjectStore
from liveserver.role import Process, Role

if TYPE_CHECKING:
    from quart import Blueprint

log = structlog.get_logger(__name__)


def open_recorder_role(process: Process) -> Role:
    """Return the role, which records until the process' nursery is cancelled."""
    settings = process.settings.recorder
    recorder = Recorder(process.bus, open_store(settings), settings)
    process.nursery.start_soon(recorder.run)

    def routes() -> Blueprint:
        from liveserver.recorder.routes import recorder_routes

        return recorder_routes(recorder.recording, process.authorizer)

    return Role(
        blueprints=[routes],
        statistics={"recorder": recorder.statistics},
        checks={"recorder": recorder.check},
    )


def open_recordings(settings: RecorderSettings, authorizer: Authorizer) -> Role:
    """Return the recordings that the settings name, to be read only."""
    try:
        recording = partial(_recording, open_store(settings), settings.segment)
    except ConfigError as error:  # only recorders need what it takes to read recordings
        log.warning("recordings_not_served", reason=str(error))
        return Role()

    def routes() -> Blueprint:
        from liveserver.recorder.routes import recorder_routes

        return recorder_routes(recording, authorizer)

    return Role(blueprints=[routes])


def open_history(process: Process) -> Role:
    """Return the history of videos, from the recordings that the settings name and from the logs."""
    settings = process.settings.recorder
    recording = None
    try:
        recording = partial(_recording, open_store(settings), settings.segment)
    except ConfigError as error:  # only recorders need what it takes to read recordings
        log.warning("history_without_recordings", reason=str(error))
    history = History(process.bus, recording)

    def routes() -> Blueprint:
        from liveserver.recorder.history_routes import history_routes

        return history_routes(history, process.authorizer.liker)

    return Role(blueprints=[routes])


def _recording(store: ObjectStore, segment: float, video: str) -> Recording:
    return Recording(store, video, segment)
