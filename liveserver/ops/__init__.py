"""The ops port: readiness, metrics, status, dashboard.

app.py             the routes
arguments.py       requests' arguments, and answers as JSON
health.py          readiness checks
scrape.py          metrics without the application
metrics.py         Prometheus, from `statistics()`
usage.py           memory, CPU and descriptors of this process
dashboard.py       the page
cluster.py         all nodes: their addresses, and their answers
cluster_routes.py  the routes of all nodes, and of test events
publishing.py      publishes a test event at a dispatcher
"""
