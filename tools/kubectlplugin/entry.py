"""The program of the stand-alone plugin."""

from statefulroute.cli import main

main()
