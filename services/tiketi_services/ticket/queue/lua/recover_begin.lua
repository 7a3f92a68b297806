-- Begin to build the event's memory: what a stale or half-built one holds is forgotten. A line that is open, or is built
-- by a later epoch, is left as it is: a process that slept through a whole recovery does no harm.
-- KEYS 1 epoch (hash epoch, run_id; while it is built: building, server)  2.. every key that is built anew
-- ARGV 1 the new epoch
-- Result 'begun'; or, with nothing written: 'open', 'superseded'
-- @include epoch

if epoch_of(KEYS[1]) then return 'open' end
local seen = redis.call('HMGET', KEYS[1], 'epoch', 'building')
if math.max(tonumber(seen[1] or 0), tonumber(seen[2] or 0)) >= tonumber(ARGV[1]) then return 'superseded' end
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
redis.call('HDEL', KEYS[1], 'epoch', 'run_id')
redis.call('HSET', KEYS[1], 'building', ARGV[1], 'server', string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'))
return 'begun'
