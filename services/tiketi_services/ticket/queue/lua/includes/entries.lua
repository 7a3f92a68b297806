-- Entries of the draw: their number n (nil: not fixed yet), and whether their order is known. The first script past the
-- time of the draw fixes n, so that nobody who joins later is ever among them. draw_at (ms) 0: no draw is planned.
local function entries_of(draw, seq, draw_at, now)
  local fixed = redis.call('HMGET', draw, 'n', 'ready')
  if not fixed[1] and draw_at > 0 and now >= draw_at then
    fixed[1] = redis.call('GET', seq) or '0'
    redis.call('HSET', draw, 'n', fixed[1], 'at', now)
  end
  return tonumber(fixed[1] or nil), fixed[2] == '1'
end
