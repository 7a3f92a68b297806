-- The event's time beside the server's clock. They differ when that was set back.
-- KEYS 1 clock
-- Result {the server's (ms), the event's (ms)}
-- @include now

local now = server_now()
return {now, math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))}
