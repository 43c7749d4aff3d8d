"""The recorder role of a process."""

from __future__ import annotations

from liveserver.recorder.opening import open_store
from liveserver.recorder.recorder import Recorder
from liveserver.recorder.routes import recorder_routes
from liveserver.role import Process, Role


def open_recorder_role(process: Process) -> Role:
    """Return the role, which records until the process' nursery is cancelled."""
    settings = process.settings.recorder
    recorder = Recorder(process.bus, open_store(settings), settings)
    process.nursery.start_soon(recorder.run)
    return Role(
        blueprints=[recorder_routes(recorder, process.authorizer)],
        statistics={"recorder": recorder.statistics},
        checks={"recorder": recorder.check},
    )
