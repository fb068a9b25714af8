"""Evidence of an event at any size, made in minutes, and what certifying and verifying it costs.

    python -m load_tests.scale run --attendees 40000000 --data /tmp/turnout-scale

The exception to the rule that load_tests is an outsider: nobody here could send the seven billion minutes of presence
of forty million attendees through HTTP. So the evidence is written as a ledger would have written it, by counters' own
writers, from made-up visits (`visits`); and what they amount to is counted apart, in plain numpy (`truth`), which the
certificate is compared with afterwards (`comparing`).
"""
