"""Optimizers: how parameters follow gradients. One file each (see docs/add.md)."""
