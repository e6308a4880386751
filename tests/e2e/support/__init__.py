"""What end-to-end tests build on.

eventually  wait for something with a deadline, and say what was seen last
cluster     kubectl, and whether this is the laboratory; refuses every cluster that was not named
redis_set   one ContexRedis as a test sees it: its nodes, sentinels, passwords, data
green       everything that must be true of a set that is whole
spaces      namespaces with an operator and resources in them
checkout    which moves this checkout's operator knows: found out, not listed
place       commands that start themselves next to the cluster
diagnosis   what a person would look at after a failure
turns       tests that harm a node run alone, the others side by side
"""
