"""Disks that fail: every call with which a writer changes files fails in turn, and power is cut between any two.

calls.cpp   stands between the program and the C library: counts, notes and fails calls; calls.py: the same in Python
disk.py     what a disk holds after a power cut: a file's bytes once it is synced, a name once its folder is
writer.py   what is known of a writer; writers/: those that are tried
trial.py    one failure and what became of it
run.py      the command: python -m tests.faults.run
"""
