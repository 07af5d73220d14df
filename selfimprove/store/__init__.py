"""Bytes that survive: the run folder, its seals, its ledger. Knows no method."""
