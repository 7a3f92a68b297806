-- Orders of events by state.
-- $1 events text[]
-- Result: event, state, orders, tickets, amount (minor units), refusals
SELECT event,
       state,
       count(*)                              AS orders,
       COALESCE(sum(cardinality(seats)), 0)  AS tickets,
       COALESCE(sum(amount), 0)::bigint      AS amount,
       sum(refusals)                         AS refusals
FROM sales
WHERE event = ANY ($1)
GROUP BY event, state
