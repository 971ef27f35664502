"""Arms: how a network is built. One file each (see docs/add.md)."""
