"""A crowd of buyers: real HTTP and Socket.IO clients that know nothing but the public API."""
