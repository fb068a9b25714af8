"""The checks of the offline verifier (counters.verify), one module for each thing that they need.

    alone       the certificate and its proof
    history     the public log: every hash, and whatever else the log's key has signed
    statements  the public log: what the certificate repeats from it
    leaves      the public log: the numbers that its leaves give
    witnesses   who has cosigned, and how soon
    against     another certificate, proof or checkpoint of the same log
    timed       timestamps of an outside authority
    rebuilt     the evidence
    rolls       the evidence: whether the sealed roll is of it

A check is a function of a `Verification`: it returns what holds, in words for the report, or raises `FailedError` or
`OpenError`. What it has found out it leaves in the `Verification` for those after it.
"""
