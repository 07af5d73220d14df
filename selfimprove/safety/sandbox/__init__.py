"""Runs programs that a model has written without files, network or other processes, with limits on all resources.

`runner` is the trusted side; `docs/sandbox.md` says what the sandbox guarantees. The modules that run inside (`jail`,
`candidate`, `values`, `kernel`, `syscalls`) import only the standard library and each other.
"""
