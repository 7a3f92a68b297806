-- Leave at once: place in line, offer and running session are free for others. Joining again gives the same place, unless
-- it was spent.
-- KEYS 1 epoch  2 waiting  3 alive  4 offers  5 returning  6 claimed  7 active  8 counts
-- ARGV 1 buyer
-- Result: 1 if the buyer was in line or shopping
-- @include epoch

if not epoch_of(KEYS[1]) then return redis.error_reply('-RECOVERING this is not the server the line was begun on') end
local buyer = ARGV[1]
local left = redis.call('ZREM', KEYS[2], buyer) + redis.call('ZREM', KEYS[3], buyer)
  + redis.call('ZREM', KEYS[4], buyer) + redis.call('ZREM', KEYS[5], buyer)
if redis.call('HEXISTS', KEYS[6], buyer) == 1 then left = left + redis.call('ZREM', KEYS[7], buyer) end
if left == 0 then return 0 end
redis.call('HINCRBY', KEYS[8], 'left', 1)
return 1
