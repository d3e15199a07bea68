"""Does the importer's main job the way others would: the yardsticks of the bench."""
