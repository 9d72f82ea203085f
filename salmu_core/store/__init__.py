"""What is written, whole or not at all: files, hashes, records and run folders."""
