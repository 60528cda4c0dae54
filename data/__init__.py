"""Records that cross doors, catalogs with sources, readers and workload statistics."""
