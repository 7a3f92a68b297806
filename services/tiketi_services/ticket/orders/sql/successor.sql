-- The hold that a buyer's hold has become by changes of seats. $1 buyer  $2 hold. Result: its id; no row if there is none.
SELECT (successor(h)).id FROM holds h WHERE h.id = $2 AND h.buyer = $1 AND h.replaced_by IS NOT NULL
