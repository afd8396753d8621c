"""Reports as services of continuous integration, and their files, want them."""
