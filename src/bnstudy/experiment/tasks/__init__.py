"""Tasks: what the network learns. One file each (see docs/add.md)."""
