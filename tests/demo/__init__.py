"""`make demo`: Contex on a real cluster, writing through a crash of the master and the death of a node.

target    the laboratory, or another cluster that was named; kubectl, helm, faults, how writers get there
install   the documented `helm install`, and waiting until all of it is Ready
state     what the cluster looks like, kept up to date by watches; parsing of their lines is pure
watching  the watches and the sentinels' own messages, as child processes
data      what the Redis pods hold, read through kubectl exec
scene     one fault: writers, fault, timeline, verdict
report    figures, bounds and their sentences; pure
terminal  colour on a terminal only, and one line of progress
"""

import sys
from pathlib import Path

# The operator's words (contex_operator.names) come from the checkout, whether the package is installed or not.
sys.path.append(str(Path(__file__).resolve().parents[2] / "operator"))
