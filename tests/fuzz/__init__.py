"""Damaged and hostile files of every format that is read here.

formats/    what is damaged: how a small whole file is made, how it is read, and which modules that covers
mutate.py   the damage: seeded, of bytes, words and JSON values
child.py    a batch of damages in a process of its own; pool.py: with limits of memory and time
attacks/    files that someone made to hurt, each made from code
run.py      the long run: python -m tests.fuzz.run --mutations 20000
"""
