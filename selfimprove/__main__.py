"""`python -m selfimprove`."""

from selfimprove.cli import main

main()
