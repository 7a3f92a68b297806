-- Old messages are found without reading the whole table (tiketi_runtime.outbox).
CREATE INDEX inbox_by_age ON inbox USING brin (applied_at);
