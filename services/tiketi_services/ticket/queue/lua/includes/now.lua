-- The server's clock in ms. It may be set back.
local function server_now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The event's time in ms: Redis' clock, but never earlier than any script of the event saw before. A boundary that was
-- crossed stays crossed. Set back far, as after a jump, time stands still for long: that is watched (read_clock), and ends
-- when the event's memory is built anew (recover_begin).
local function now_of(clock)
  local now, latest = server_now(), tonumber(redis.call('GET', clock) or 0)
  if now <= latest then return latest end
  redis.call('SET', clock, now)
  return now
end
