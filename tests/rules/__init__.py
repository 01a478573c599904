"""What users see across the parts, in groups of rules."""
