"""What a sink says of a message that it did not accept."""

from __future__ import annotations

from liveserver.hooks.sink import EndpointGone, SinkError


def test_an_endpoint_in_trouble_is_not_one_that_refuses() -> None:
    trouble = SinkError("no answer")
    assert (str(trouble), trouble.is_refused, trouble.retry_after) == ("no answer", False, 0.0)
    refused = SinkError("422", is_refused=True, retry_after=7.5)
    assert (refused.is_refused, refused.retry_after) == (True, 7.5)


def test_one_that_wants_nothing_any_more_is_handled_wherever_errors_of_sinks_are() -> None:
    gone = EndpointGone("410", is_refused=True)
    assert isinstance(gone, SinkError)
    assert gone.is_refused
