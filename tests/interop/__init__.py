"""Third-party clients, as people use them, against a running server.

programs/          one small program per client: prints `ready`, then each event's number, to standard output
test_clients.py    all of them watch while the server goes away and comes back
"""
