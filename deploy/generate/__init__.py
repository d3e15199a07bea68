"""Makes the product files that are derived: the dashboard, and the rules for the operator."""
