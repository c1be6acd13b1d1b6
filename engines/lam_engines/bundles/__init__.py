"""The artefact: its manifest, reading with every hash checked, writing whole or not at all."""
