"""What is kept: the journal, the tape, the projections a person reads, and where they lie."""
