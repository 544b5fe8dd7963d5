"""`python -m mftui.cli`: the command line where its script is not on the PATH."""

from mftui.cli import main

main()
