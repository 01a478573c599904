"""The simulated fleet's figures, as a table and as pictures."""
