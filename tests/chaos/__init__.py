"""`make chaos`: random faults and planned moves against one ContexRedis, checked after each round.

    planning   a seed -> rounds: which faults and moves, when, how long; pure
    bounds     which acknowledged writes a round may have cost at most, by the durability; pure
    judging    history + data + what was done -> violations; pure
    hands      carries faults and moves out in the laboratory
    arena      one namespace with operator, set and writers, in which rounds are played
    campaign   rounds one after the other, with a log of seeds and figures
    __main__   the command line

A round can be played again by its seed and number alone: `python -m tests.chaos --seed 7 --only 31`.
"""
