"""What each process of a run did, in files of its own, and all of it as one record."""
