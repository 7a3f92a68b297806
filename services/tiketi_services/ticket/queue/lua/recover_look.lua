-- Whether the event's memory was built on this server and is still there.
-- KEYS 1 epoch (hash epoch, run_id; while it is built: building, server)
-- Result {1 if so, the highest epoch that is noted here}
-- @include epoch

local seen = redis.call('HMGET', KEYS[1], 'epoch', 'building')
return {epoch_of(KEYS[1]) and 1 or 0, math.max(tonumber(seen[1] or 0), tonumber(seen[2] or 0))}
