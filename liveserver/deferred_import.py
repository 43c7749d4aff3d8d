"""Imports a module when it is first needed, in a thread: the event loop continues."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import trio


async def import_in_thread(name: str) -> ModuleType:
    """Return the module; import it in a thread, unless it has been imported."""
    if is_imported(name):
        return sys.modules[name]
    return await trio.to_thread.run_sync(importlib.import_module, name)


def is_imported(name: str) -> bool:
    """Return whether a module has been imported, completely."""
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)
