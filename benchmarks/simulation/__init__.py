"""The figures of the simulated fleet (``tests.simulation.fleet``), as a table and as a picture."""
