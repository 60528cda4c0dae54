"""What people and machines read: HTML, tables, JSON and Parquet."""
