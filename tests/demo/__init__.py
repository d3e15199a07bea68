"""Shows the main job on real parts: a broker, the simulated portal, the importer, bad events."""
