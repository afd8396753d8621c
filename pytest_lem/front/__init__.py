"""The front door: what pytest gives and takes; reads in its order, counts nothing."""
