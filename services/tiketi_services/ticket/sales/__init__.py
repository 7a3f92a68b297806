"""Sale sheets: taken over from Redis, kept in PostgreSQL, shown to buyers."""
