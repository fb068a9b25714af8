"""`turnout doctor`: whether the machine, Redis and the others are fit for what the settings ask, and what to do if not.

Each module looks at one thing and judges it: what is judged are values, so that every judgement can be tried without a
machine that is ill. Nothing is changed, and nothing stays behind.

    finding        what a check found
    host           clock, disks, open files, cores, the kernel's queues
    ports          whether a port is free, and who has it
    redis_server   versions and policies of Redis
    keeping        secrets, the log that is there, extras
    programme      the event's times and its issuers' keys
    greeting       the ledger, and what it knows of keys otherwise than this host
    others         witnesses, issuers' published keys
    examination    which of these for which command
"""
