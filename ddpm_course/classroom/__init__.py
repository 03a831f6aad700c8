"""What only a notebook needs. The command line and the rest of the package do not know it."""
