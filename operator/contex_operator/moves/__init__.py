"""Moves of the master's role that take milliseconds: planned switchover, assisted failover, the end of either.

Each move is a generator without any IO. It yields one Step after another – deeds that are to be done at the same
time – and is sent what came of them; it returns an Outcome. `conduct` carries the deeds out, and a test carries them
out on a model, or stops between any two. The order of the steps is the result of 121 measured moves; what a
predecessor has left half done is judged by `resume`, never by memory.
"""
