"""`python -m rcfail`, where the script is not on PATH."""

from rcfail.cli import main

main()
