"""The parts that decide, with a lambda for a login and a clock of the test's own."""
