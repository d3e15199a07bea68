"""Breaks the importer on purpose, one small defect at a time: some test must notice each."""
