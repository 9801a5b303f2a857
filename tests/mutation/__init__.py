"""Whether the tests can fail: single faults planted in a room's files, one at a time, and what its tests say.

faults.py   the faults that a file can have: a comparison, an operator, a number, a condition, a call that is left out
tree.py     a copy of the repository, in which a fault is planted and taken out again
run.py      the command: python -m tests.mutation.run heads --limit 60
"""
