"""python -m launch [options] train.py CONFIG [overrides]"""

import os
import sys

from launch.launcher import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
