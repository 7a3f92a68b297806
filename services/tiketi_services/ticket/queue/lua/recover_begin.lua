-- Begin to build the event's memory: what a stale or half-built one holds is forgotten. A line that is open, or is built
-- by a later epoch, is left as it is: a process that slept through a whole recovery does no harm.
-- The event's time goes on as it was over the small differences between servers. If it is further ahead, the server's clock
-- was set back: then time begins anew, or the line would stand still until the clock has caught up.
-- KEYS 1 epoch (hash epoch, run_id; while it is built: building, server)  2 clock  3.. every key that is built anew
-- ARGV 1 the new epoch  2 how far the event's time may be ahead (ms)
-- Result 'begun'; or, with nothing written: 'open', 'superseded'
-- @include epoch
-- @include now

if epoch_of(KEYS[1]) then return 'open' end
local seen = redis.call('HMGET', KEYS[1], 'epoch', 'building')
if math.max(tonumber(seen[1] or 0), tonumber(seen[2] or 0)) >= tonumber(ARGV[1]) then return 'superseded' end
if tonumber(redis.call('GET', KEYS[2]) or 0) > server_now() + tonumber(ARGV[2]) then redis.call('DEL', KEYS[2]) end
for i = 3, #KEYS do redis.call('UNLINK', KEYS[i]) end
redis.call('HDEL', KEYS[1], 'epoch', 'run_id')
redis.call('HSET', KEYS[1], 'building', ARGV[1], 'server', string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'))
return 'begun'
