"""Runs a program as a rank of a test, once rank 0 listens: python tests/rank.py PROGRAM [arguments]."""

import os
import runpy
import sys

del sys.path[0]  # this folder, whose utils are other ones

from launch.rendezvous import wait_for_first_rank

if __name__ == "__main__":
    wait_for_first_rank(os.environ)
    del sys.argv[0]
    sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))  # as where it is started itself
    runpy.run_path(sys.argv[0], run_name="__main__")
