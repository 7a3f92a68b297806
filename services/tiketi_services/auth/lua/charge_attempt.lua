-- Charge one attempt to a budget that refills evenly (GCRA). Returns 0, or the time to wait in ms and charges nothing.
-- KEYS 1 time (ms) at which the budget is whole again
-- ARGV 1 burst (attempts)  2 refill (ms for one attempt)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local refill = tonumber(ARGV[2])
local whole_at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or now)) + refill
local wait = whole_at - now - tonumber(ARGV[1]) * refill
if wait > 0 then return wait end
redis.call('SET', KEYS[1], whole_at, 'PX', whole_at - now)
return 0
