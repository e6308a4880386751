"""Writers that count, and the checker that says what became of what they were told.

    history   one line for each write: who, what, when, and whether it was acknowledged, refused or left
    unanswered writers   four ways in which clients reach Redis, each a loop that fills a history reading
    what the nodes hold afterwards checker   history + data -> verdict (lost, resurrected, duplicates,
    divergence, gaps, two masters); pure process   a writer as a child process, so that a test's own work
    never looks like an outage loopback  real redis-servers and sentinels on loopback addresses, for tests
    of all this __main__  the same from a command line, JSON lines out

`python -m tests.workload --help` runs anywhere; in the laboratory it runs in the client host.
"""
