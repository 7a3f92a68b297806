-- How many places one network has taken, as far as processes have told.
-- KEYS 1 networks (u32 counters)
-- ARGV 1 counter
-- Result places
return redis.call('BITFIELD', KEYS[1], 'GET', 'u32', '#' .. ARGV[1])[1]
