"""OpenTelemetry traces, from a request to the writes to viewers; off unless `tracing.endpoint` is set.

context.py     W3C `traceparent`, and the header between nodes. No I/O
span.py        a finished span, and the request that is traced
tracer.py      which requests are traced, and the marks by which frontends learn of traced events
carrying.py    from a stored like or comment to the dispatcher that accepts its event
announcing.py  marks, published in the site's log
exporting.py   spans to a collector, in a thread: the only module that needs the OpenTelemetry libraries
"""
