"""Accepts what is published, and keeps the subscription table; stateless.

routes.py         hot routes: publishing and leases
parse.py          a body, checked, as the lines that travel
json_check.py     JSON that every parser reads as the same value
publish.py        group commit to the bus
subscriptions.py  leases, in the bus
local.py          the same verbs for the roles in this process
relay/            events from the other datacenters
"""
