"""The dispatcher: accepts published events, and maintains the subscription table. Stateless.

routes.py         hot routes: publishing and leases
viewer_routes.py  viewer counts, if there is no frontend
parse.py          request bodies → checked and rendered lines
json_check.py     rejects JSON that parsers read differently
publish.py        group commit to the bus
merge.py          requests that are committed together, and the result of each
subscriptions.py  leases, in the bus
tracing.py        a publisher that marks traced events
local.py          the dispatcher's operations for the roles in this process
relay/            events from the other datacenters
role.py           the role, put together
"""
