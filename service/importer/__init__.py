"""Takes every event from the intake to its outcome."""
