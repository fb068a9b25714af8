"""The bench: CPU per heartbeat of one Turnout worker, beside nginx answering an empty 204 and a plain aiohttp handler.

The same request bytes for all (a browser's headers, a valid token), 64 keep-alive connections, server on core 0 and
client on core 1, rounds that take turns so that a busy minute of the machine hits all alike. CPU time is the server
process' own, from /proc/PID/stat. `python -m load_tests.bench` or `make bench`.
"""
