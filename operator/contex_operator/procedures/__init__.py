"""Procedures: each is a pure next-step function over facts.

Asked again after every step with a new snapshot, so that a process that dies between two steps leaves nothing that
the next one cannot read. Each returns a Step: actions to carry out now, and a sentence about what is going on.
"""
