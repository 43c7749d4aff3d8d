"""The ops port: readiness, metrics, status, dashboard.

app.py        the routes
health.py     readiness checks
metrics.py    Prometheus, from `statistics()`
usage.py      memory, CPU and descriptors of this process
dashboard.py  the page
"""
