-- The event's time in ms: Redis' clock, but never earlier than any script of the event saw before. A boundary that was
-- crossed stays crossed.
local function now_of(clock)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local latest = tonumber(redis.call('GET', clock) or 0)
  if now <= latest then return latest end
  redis.call('SET', clock, now)
  return now
end
