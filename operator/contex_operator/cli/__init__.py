"""`kubectl contexredis`: what people ask on their own machine, which reaches the API server and nothing behind it.

    facts      everything that a command knows, as one frozen snapshot
    questions  the scripts that are run in pods
    answers    what came back, as values (pure)
    policies   which NetworkPolicies let a connection through (pure)
    checks/    what can be amiss: facts to findings (pure)
    tables     facts to rows and sentences (pure)
    redact     takes secrets out of a support bundle (pure)
    gather     asks the API server and, through it, the pods
    wishes     switchover, pause, resume: the only writes
    bundle     the support bundle
    terminal   colours, widths, JSON
    app        arguments to exit code

It judges with the operator's own eyes (`views`, `topology`); nothing of it is imported by the operator.
"""
