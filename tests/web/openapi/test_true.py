"""The document is true: requests made from it, good and bad ones, against running servers.

`make check-api` does the same for longer: LIVESERVER_API_EXAMPLES requests per operation and kind.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from liveserver.web.openapi.components import BETWEEN_NODES
from tests.processes import NodeProcess

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """All roles in one, on the memory bus; nothing waits for long."""
    made = NodeProcess(
        "all",
        'frontend","dispatcher","backend',
        "redis://127.0.0.1:1",
        "bus.kind=memory",
        f"backend.directory={tmp_path_factory.mktemp('data')}",
        "frontend.default_wait=10ms",
        "frontend.max_wait=50ms",
    )
    try:
        made.start()
        trio.run(made.wait_ready)
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("port", ["public", "nodes", "ops"])
def test_responses_match_the_document(port: str, mode: str, node: NodeProcess) -> None:
    from tests.web.openapi.asking import ask_all

    ask_all(node.ops_url if port == "ops" else node.url, BETWEEN_NODES if port == "nodes" else "", mode)
