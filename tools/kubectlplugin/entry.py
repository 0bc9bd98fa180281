"""The program of the stand-alone plugin, which is that of kubectl's completion under its name."""

import os
import sys
from pathlib import Path

from kubectlplugin.libraries import restore_library_search
from statefulroute.cli import complete, main

restore_library_search(os.environ)
if Path(sys.argv[0]).name.startswith("kubectl_complete"):
    complete()
else:
    main()
