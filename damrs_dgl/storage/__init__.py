"""What is kept on disk: files written whole or not at all, the run folder, its manifest and its one writer."""
