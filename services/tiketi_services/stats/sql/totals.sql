-- Orders of events by state, without what was given back.
-- $1 events text[]
-- Result: event, state, orders, tickets, amount (minor units), refusals
SELECT event,
       state,
       count(*)                              AS orders,
       COALESCE(sum(cardinality(seats)), 0) - sum(returned)               AS tickets,
       (COALESCE(sum(amount), 0) - sum(returned_amount))::bigint          AS amount,
       sum(refusals)                         AS refusals
FROM sales
WHERE event = ANY ($1)
GROUP BY event, state
