"""What users see across the parts, in groups of the contract's rules."""
