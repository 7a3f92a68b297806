-- Back to the policy's rate, because the policy asks for no adaptive admission (any more); noted if it was another.
-- KEYS 1 rate  2 notes (stream)
-- ARGV 1 reason  2 message
-- Result: 1 if another rate was in force
local was_set = redis.call('HEXISTS', KEYS[1], 'perMinute')
redis.call('DEL', KEYS[1])
if was_set == 1 then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'reason', ARGV[1], 'message', ARGV[2], 'warning', 0)
end
return was_set
