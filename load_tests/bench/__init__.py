"""The bench: what Turnout costs, measured beside what people would otherwise run. `make bench`.

One module an experiment: its docstring says what is measured and what the figure does not say, its click command is
called `command`, and `load_tests.bench.__main__` lists it. What experiments share: `servers` (Turnout on loopback with
valid tokens, and other programs), `wrk` (the client), `processes` (CPU time, cores, machine facts), `spread` (medians
with their range), `table` (Markdown), `report` (printing and saving). Servers run on core 0, all else on core 1.
"""
