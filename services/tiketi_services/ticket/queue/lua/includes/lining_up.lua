-- Who waits is in ``waiting`` (by seq) or, with a place the horizon has passed, in ``returning`` (by place); and has a bit
-- (by seq) in ``living``: positions are counted from it.
local function line_up(waiting, returning, living, buyer, seq, place, horizon)
  if place <= horizon then
    redis.call('ZADD', returning, place, buyer)
  else
    redis.call('ZADD', waiting, seq, buyer)
  end
  redis.call('SETBIT', living, seq, 1)
end

-- Result: 1 if the buyer was waiting.
local function step_out(waiting, returning, living, buyer, seq)
  local waited = redis.call('ZREM', waiting, buyer) + redis.call('ZREM', returning, buyer)
  if waited > 0 then redis.call('SETBIT', living, seq, 0) end
  return waited
end
