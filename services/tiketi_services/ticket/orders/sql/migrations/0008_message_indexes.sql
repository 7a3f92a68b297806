-- Messages of one order leave in their order; old ones are found without reading the whole table (tiketi_runtime.outbox).
CREATE INDEX outbox_unsent_of_order ON outbox ((body ->> 'order'), created_at) WHERE sent_at IS NULL;
CREATE INDEX outbox_by_age ON outbox USING brin (created_at);
CREATE INDEX inbox_by_age ON inbox USING brin (applied_at);
