"""The program of the stand-alone plugin, which is that of kubectl's completion under its name."""

import sys
from pathlib import Path

from statefulroute.cli import complete, main

if Path(sys.argv[0]).name.startswith("kubectl_complete"):
    complete()
else:
    main()
