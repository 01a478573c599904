"""Every store against one contract, and each against its own faults."""
