"""Imports structlog without rich, which it uses for tracebacks that our log does not have (`logs.py`): 4 MB.

To be imported before any other module that imports structlog.
"""

from __future__ import annotations

import sys

if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # `import rich` then raises ImportError
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
