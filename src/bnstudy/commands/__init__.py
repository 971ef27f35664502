"""The command line `bnstudy`: one file per command, each with `add_arguments` and `run`."""
