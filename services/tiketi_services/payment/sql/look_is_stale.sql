-- Whether another refund of the payment has been made since it was looked at: it left less than was seen. Asked after
-- begin_refund, which waits for whoever makes another one. $1 refund  $2 balance that was seen
SELECT EXISTS (
  SELECT FROM refunds r JOIN refunds other ON other.payment_key = r.payment_key AND other.refund_id <> r.refund_id
  WHERE r.refund_id = $1 AND other.state = 'DONE' AND other.balance < $2)
