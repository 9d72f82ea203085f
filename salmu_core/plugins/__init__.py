"""What is installed: plugins found one by one, and a catalogue of what they declare."""
