"""How fast this project trains, against the alternatives: `make bench`. See README.md here."""
