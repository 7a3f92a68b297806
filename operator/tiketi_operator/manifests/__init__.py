"""Children as plain data: one small module per kind, one function per object. Nothing here reads or writes anything."""
