"""Makes the dashboard and checks its structure."""
