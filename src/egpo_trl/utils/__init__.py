"""Files that are whole or absent, journals, progress, quiet libraries."""
