-- Places of the line's sections that are neither taken nor to be expected by somebody who is shopping without seats yet.
-- Who holds seats is counted by these. That is looked up only where it can matter: when fewer than ``wanted`` are free.
-- ``active`` must hold no ended sessions. Sections are ARGV[first] and following.
local function free_stock(stock, counts, active, holding, now, first, wanted)
  local free = stock - redis.call('ZCARD', active)
  for i = first, #ARGV do free = free - tonumber(redis.call('HGET', counts, 'taken:' .. ARGV[i]) or 0) end
  if free < wanted then
    redis.call('ZREMRANGEBYSCORE', holding, '-inf', now)
    free = free + redis.call('ZINTERCARD', 2, active, holding)
  end
  return free
end
