"""What is measured and published: every move of the operator, and the same faults against what people use instead.

samples     one repetition as data, one line of JSON; files of several runs can be merged
figures     medians, percentiles, which gap belongs to a fault, errors by kind; pure
report      samples -> results.md; pure
machine     what a run was made on, and of which versions
subjects    what is measured: this operator, and the rivals in `rivals/`
scenarios   small named objects: what is done, when it has happened, what puts it right again
runner      one repetition after the other: writers, fault, green, verdict
plan        what `python -m bench all` runs
__main__    the command line

`python -m bench --help`; README.md says what the figures mean.
"""
