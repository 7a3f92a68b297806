-- Begin the line of an event on this Redis server. A line that goes on here is left as it is.
-- KEYS 1 epoch (hash epoch, run_id)  2 sheet
-- ARGV 1 epoch to begin with
-- Result: the epoch in force; 0 if the event was deleted meanwhile, and nothing is written
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local pair = redis.call('HMGET', KEYS[1], 'epoch', 'run_id')
if pair[1] and pair[2] == run_id then return tonumber(pair[1]) end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'run_id', run_id)
return tonumber(ARGV[1])
