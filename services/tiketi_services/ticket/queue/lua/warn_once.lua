-- Leave a warning for the operator to tell, once for each occasion, whichever processes have noticed it. Of an event that
-- Redis does not know (deleted, or not yet rebuilt) nothing is left behind.
-- KEYS 1 epoch  2 told (string: the occasion that was told last)  3 notes (stream)
-- ARGV 1 occasion  2 reason  3 message
-- Result: 1 if it was told now
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('GET', KEYS[2]) == ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', 1000, '*', 'reason', ARGV[2], 'message', ARGV[3], 'warning', 1)
return 1
