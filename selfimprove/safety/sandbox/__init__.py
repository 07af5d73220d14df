"""A place where programs that a model has written can run: no files, no network, no other process, bounded in all.

`runner` is the side that asks; `docs/sandbox.md` says what holds and what does not. The modules that run inside
(`jail`, `candidate`, `values`, `kernel`, `syscalls`) import the standard library and each other only.
"""
